//! `forebay-turnd import-coturn`: what a turnserver.conf says, said in a
//! configuration of ours, with a report of every line.
//!
//! [`import`] is pure: text and surroundings in, files and report out.
//! [`command`] reads and writes.

mod auth;
pub mod command;
mod draft;
mod keys;
mod limits;
mod lines;
mod listeners;
mod operations;
mod peers;
mod relay;
mod report;
mod work;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use forebay_runtime::config::{Role, Settings};
use zeroize::Zeroizing;

pub use report::{Entry, Outcome, Refusal, Report};

use work::Work;

/// The name of the configuration file written.
const CONFIGURATION: &str = "turnd.toml";
/// The name of the users file written.
const USERS: &str = "users";

/// What a turnserver.conf leaves to the host and to where it lies.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Its name, for the head of the configuration.
    pub name: String,
    /// Where relative names of certificates start.
    pub directory: PathBuf,
    /// Source addresses of the host's default routes, at most one per family.
    pub default_addresses: Vec<IpAddr>,
    /// Whether the host has IPv6.
    pub ipv6: bool,
}

/// A file to write that nobody else may read.
pub struct SecretText {
    /// Its name, beside the configuration.
    pub name: String,
    /// What to write into it.
    pub text: Zeroizing<String>,
}

/// What came of a turnserver.conf.
pub struct Import {
    /// The configuration. Of use only when nothing is refused.
    pub configuration: String,
    /// Secret and users files that it names.
    pub secrets: Vec<SecretText>,
    /// What became of every line.
    pub report: Report,
}

/// Translates the bytes of a turnserver.conf. When the report refuses nothing,
/// the configuration is valid.
pub fn import(bytes: &[u8], around: &Surroundings) -> Import {
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let mut work = Work::new(lines::parse(&text), around);
    let listeners = listeners::translate(&mut work);
    relay::translate(&mut work, &listeners);
    let secrets = auth::translate(&mut work);
    peers::translate(&mut work);
    limits::translate(&mut work);
    operations::translate(&mut work);
    let configuration = work.draft.render(&around.name);
    // What the modules overlook is caught here, so that nothing is written
    // that the server would refuse.
    if let Err(error) = Settings::parse(&configuration, Path::new(CONFIGURATION), Role::Standalone)
    {
        for problem in error.problems {
            // Without authentication the reason has been given already.
            if !problem.message.starts_with("`auth`") {
                work.refuse_file(&problem.message, "change the line it comes from.");
            }
        }
    }
    Import {
        configuration,
        secrets,
        report: work.report(),
    }
}
