//! A gateway of one's own, told by signed webhook.
