//! AWS IoT Core.
