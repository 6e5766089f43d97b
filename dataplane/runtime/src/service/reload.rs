//! SIGHUP: validate everything first, then apply what can be applied live and
//! say what needs a restart.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use super::{Options, ServiceError};
use crate::config::{CertificateFiles, Role, Settings, load_credentials};
use crate::front::Front;
use crate::node::Node;
use crate::worker::MailboxFull;

/// Attempts to hand a change to a worker whose mailbox is full, and the pause
/// between them.
const ATTEMPTS: (u32, Duration) = (50, Duration::from_millis(20));

/// The settings in force and where they come from.
pub(super) struct Reload<'a> {
    settings: Settings,
    options: &'a Options,
}

impl<'a> Reload<'a> {
    pub(super) fn new(settings: Settings, options: &'a Options) -> Self {
        Self { settings, options }
    }

    pub(super) fn drain_deadline(&self) -> Duration {
        self.settings.lifetimes.drain
    }

    /// Reads the file again. `policy_is_set`: the control plane has set one,
    /// which the file must not undo.
    pub(super) fn run(&mut self, node: &mut Node, policy_is_set: bool) {
        let status = node.status().clone();
        match self.attempt(node, policy_is_set) {
            Ok(restart) => {
                status.reloads.fetch_add(1, Ordering::Relaxed);
                if !restart.is_empty() {
                    warn!(
                        "changed, but in force only after a restart: {}",
                        restart.join(", ")
                    );
                }
            }
            Err(error) => {
                status.reloads_failed.fetch_add(1, Ordering::Relaxed);
                error!("configuration not reloaded, the old one stays in force: {error}");
            }
        }
    }

    /// Returns the keys that changed but need a restart.
    fn attempt(
        &mut self,
        node: &mut Node,
        policy_is_set: bool,
    ) -> Result<Vec<String>, ServiceError> {
        let new = Settings::load(&self.options.config, self.options.role)?;
        let full = |_| ServiceError::System("a worker takes no commands".to_owned());
        if self.options.role == Role::Standalone {
            let credentials = load_credentials(&new.auth, &self.options.config)?;
            let (secrets, users) = (credentials.secrets.len(), credentials.users.len());
            insist(|| node.set_credentials(credentials.clone())).map_err(full)?;
            self.settings.auth.secrets.clone_from(&new.auth.secrets);
            self.settings
                .auth
                .users_file
                .clone_from(&new.auth.users_file);
            info!("reloaded: {secrets} secrets, {users} users");
        }
        if policy_is_set {
            info!("the peer policy is the control plane's; [peers] is not reloaded");
        } else {
            let policy = node.plan().policy_of(&new.peers);
            insist(|| node.set_policy(policy.clone())).map_err(full)?;
            self.settings.peers = new.peers.clone();
            info!(
                "reloaded: {} allowed and {} denied networks",
                new.peers.allow.len(),
                new.peers.deny.len()
            );
        }
        self.certificate(node, &new)?;
        self.settings.lifetimes.drain = new.lifetimes.drain;
        Ok(self.settings.differences(&new))
    }
}

impl Reload<'_> {
    /// The certificate's files, or other ones, right now. Where none was in
    /// use TLS is not set up, which takes a restart.
    fn certificate(&mut self, node: &Node, new: &Settings) -> Result<(), ServiceError> {
        let certificates = node.front().and_then(Front::certificates);
        let files = CertificateFiles::of(&new.tls, &self.options.config);
        if let (Some(certificates), Some(files)) = (certificates, files) {
            certificates.reload(files)?;
            let ours = &mut self.settings.tls;
            ours.certificate.clone_from(&new.tls.certificate);
            ours.key.clone_from(&new.tls.key);
        }
        Ok(())
    }
}

fn insist(mut attempt: impl FnMut() -> Result<(), MailboxFull>) -> Result<(), MailboxFull> {
    let (attempts, pause) = ATTEMPTS;
    for _ in 1..attempts {
        if attempt().is_ok() {
            return Ok(());
        }
        thread::sleep(pause);
    }
    attempt()
}
