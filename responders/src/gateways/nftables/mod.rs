//! nftables on a Linux gateway.
