//! The control plane: it hands out TURN credentials, tells the data plane who
//! may relay and whither, and shows how things stand. It never touches a
//! packet of media, and the data plane goes on without it.

pub mod api_keys;
pub mod calls;
pub mod config;
pub mod credentials;
pub mod http;
pub mod link;
pub mod metrics;
pub mod quality;
mod reload;
pub mod rooms;
mod run;
pub mod sdp;
pub mod secret_file;
pub mod settings;
pub mod tokens;
pub mod whip;

pub use run::{StartError, run};
