//! The channel between data plane and control plane: plain types, one version,
//! a bounded codec, and the table of statistics.

pub mod stats;
