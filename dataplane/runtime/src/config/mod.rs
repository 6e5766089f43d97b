//! The configuration file that `forebay-turnd` and `forebay-dataplane` share,
//! and the credential files it names.

mod certificate;
mod credentials;
mod error;
mod load;
mod nat_discovery;
mod other_servers;
mod print;
mod section;
mod settings;
mod validate;
mod validate_streams;
mod values;

pub use certificate::{CertificateFiles, Pem};
pub(crate) use credentials::read_secret;
pub use credentials::{CredentialsError, load_credentials};
pub use error::{ConfigError, Problem};
pub use load::Difference;
pub use nat_discovery::NatDiscovery;
pub use other_servers::{Redirect, TlsServer, When};
pub use print::default_text;
pub use section::{Key, Section};
pub use settings::{
    Auth, Control, Cores, External, ExternalMedia, Lifetimes, Limits, Listen, Log, Media, Metrics,
    Peers, ProxyProtocol, Relay, SecretFile, Settings, Sockets, Tls, Usage,
};
pub use values::{Algorithm, Expiry, LogFormat, Moment, Network, PortRange};

/// Which of the two processes a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A TURN server by itself: it reads secrets and users from files.
    Standalone,
    /// A data plane: secrets, users and policy come from the control plane.
    Controlled,
}
