//! End-to-end benchmarks: a rig of two network namespaces, a TURN load client,
//! a bare forwarder as the floor, and the interleaved comparison of servers.
//!
//! Everything runs on one host as root; no packet leaves the namespaces.

pub mod bare;
pub mod forward;
pub mod gate;
pub mod load;
pub mod pump;
pub mod relay;
pub mod rig;
pub mod servers;
pub mod soak;
pub mod survive;
pub mod table;
pub mod turn_client;
