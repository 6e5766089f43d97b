//! Our views and builders and those of the `rtp` and `rtcp` crates on the same
//! bytes. Where they differ, the reason stands beside the comparison.

mod crashes;
mod payloads;
mod rtcp_packets;
mod rtp_packets;
