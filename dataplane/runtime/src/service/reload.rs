//! SIGHUP and `forebay reload`: validate everything first, then apply what can
//! be applied live, all of it or nothing, and say what needs a restart.

use std::sync::atomic::Ordering;
use std::time::Duration;

use forebay_ipc::{ConfigChange, Text};
use forebay_turn::Credentials;
use tracing::{error, info, warn};

use super::logging::{self, Logging};
use super::{Options, ServiceError};
use crate::config::{CertificateFiles, Role, Settings, load_credentials};
use crate::control::Configuration;
use crate::front::{Certificates, Front};
use crate::node::{Host, Node, Plan};
use crate::usage::{self, Recorder};

/// Keys that come into force without a restart.
const LIVE: &[&str] = &[
    "auth.secrets",
    "auth.users_file",
    "peers.allow",
    "peers.deny",
    "peers.lowest_port",
    "lifetimes.drain",
    "lifetimes.drain_at_most",
    "usage.interim",
    "usage.webhook_token_file",
    "log.level",
    "log.per_minute",
];

/// Those that do so where TLS is in use.
const CERTIFICATE: &[&str] = &["tls.certificate", "tls.key"];

/// The settings in force and where they come from.
pub(super) struct Reload<'a> {
    settings: Settings,
    options: &'a Options,
    logging: &'a Logging,
    pub(super) recorder: Option<Recorder>,
}

impl<'a> Reload<'a> {
    pub(super) fn new(
        settings: Settings,
        options: &'a Options,
        logging: &'a Logging,
        recorder: Option<Recorder>,
    ) -> Self {
        Self {
            settings,
            options,
            logging,
            recorder,
        }
    }

    /// The logs of the process.
    pub(super) fn logging(&self) -> &Logging {
        self.logging
    }

    /// Allocations a drain need not wait for when nobody says otherwise.
    pub(super) fn drain_at_most(&self) -> u64 {
        self.settings.lifetimes.drain_at_most
    }

    fn attempt(
        &mut self,
        node: &mut Node,
        policy_is_set: bool,
    ) -> Result<Vec<ConfigChange>, ServiceError> {
        let file = &self.options.config;
        let new = Settings::load(file, self.options.role)?;
        logging::filter(&new.log).map_err(ServiceError::System)?;
        let token = usage::read_token(&new.usage, file)?;
        Certificates::of(&new, file)?;
        Plan::new(&new, &Host::survey()).map_err(|error| ServiceError::Plan {
            file: file.clone(),
            error,
        })?;
        let credentials = match self.options.role {
            Role::Standalone => Some(load_credentials(&new.auth, file)?),
            Role::Controlled => None,
        };
        let mut changes: Vec<ConfigChange> = self
            .settings
            .differences(&new)
            .into_iter()
            .map(|difference| ConfigChange {
                needs_restart: !LIVE.contains(&&*difference.key)
                    && !CERTIFICATE.contains(&&*difference.key),
                key: Text::truncated(&difference.key),
                from: Text::truncated(difference.from.as_deref().unwrap_or("")),
                to: Text::truncated(difference.to.as_deref().unwrap_or("")),
            })
            .collect();
        if let Some(credentials) = &credentials {
            changes.extend(credential_changes(node.credentials(), credentials));
        }
        let policy = if policy_is_set {
            changes.retain(|change| !change.key.starts_with("peers."));
            info!("the peer policy is the control plane's; [peers] is not reloaded");
            None
        } else {
            Some(node.plan().policy_of(&new.peers))
        };
        let counts = credentials
            .as_ref()
            .map(|credentials| (credentials.secrets.len(), credentials.users.len()));

        let certificate = self.certificate(node, &new)?;
        if node.reconfigure(credentials, policy).is_err() {
            // Nothing has changed, so the certificate must not either.
            self.certificate(node, &self.settings)?;
            return Err(ServiceError::System(
                "a worker takes no commands".to_owned(),
            ));
        }
        if certificate {
            self.settings
                .tls
                .certificate
                .clone_from(&new.tls.certificate);
            self.settings.tls.key.clone_from(&new.tls.key);
        } else {
            for change in &mut changes {
                change.needs_restart |= CERTIFICATE.contains(&&*change.key);
            }
        }
        self.logging.reload(&new.log);
        if let Some(recorder) = &mut self.recorder {
            recorder.reload(new.usage.interim, token);
        }
        if let Some((secrets, users)) = counts {
            info!("reloaded: {secrets} secrets, {users} users");
        }
        self.take_over(new, policy_is_set);
        Ok(changes)
    }

    /// Has the certificate's files, or other ones, taken right now. False where
    /// TLS was not set up at start, which takes a restart.
    fn certificate(&self, node: &Node, settings: &Settings) -> Result<bool, ServiceError> {
        let certificates = node.front().and_then(Front::certificates);
        let files = CertificateFiles::of(&settings.tls, &self.options.config);
        match (certificates, files) {
            (Some(certificates), Some(files)) => {
                certificates.reload(files)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Remembers what is in force now; the rest still differs next time.
    fn take_over(&mut self, new: Settings, policy_is_set: bool) {
        let old = &mut self.settings;
        old.auth.secrets = new.auth.secrets;
        old.auth.users_file = new.auth.users_file;
        if !policy_is_set {
            old.peers = new.peers;
        }
        old.lifetimes.drain = new.lifetimes.drain;
        old.lifetimes.drain_at_most = new.lifetimes.drain_at_most;
        old.usage.interim = new.usage.interim;
        old.usage.webhook_token_file = new.usage.webhook_token_file;
        old.log.level = new.log.level;
        old.log.per_minute = new.log.per_minute;
    }
}

impl Configuration for Reload<'_> {
    fn reload(
        &mut self,
        node: &mut Node,
        policy_is_set: bool,
    ) -> Result<Vec<ConfigChange>, String> {
        let status = node.status().clone();
        let outcome = self.attempt(node, policy_is_set);
        status
            .reload_refused
            .store(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(changes) => {
                status.reloads.fetch_add(1, Ordering::Relaxed);
                tell(&changes);
                Ok(changes)
            }
            Err(error) => {
                status.reloads_failed.fetch_add(1, Ordering::Relaxed);
                error!("configuration not reloaded, the old one stays in force: {error}");
                Err(error.to_string())
            }
        }
    }

    fn drain_deadline(&self) -> Duration {
        self.settings.lifetimes.drain
    }
}

fn tell(changes: &[ConfigChange]) {
    if changes.is_empty() {
        info!("the configuration is the same as before");
    }
    let or_nothing = |text: &str| if text.is_empty() { "(nothing)" } else { text }.to_owned();
    for change in changes.iter().filter(|change| !change.needs_restart) {
        let (from, to) = (or_nothing(&change.from), or_nothing(&change.to));
        info!("changed: {} from {from} to {to}", &*change.key);
    }
    let restart: Vec<&str> = changes
        .iter()
        .filter(|change| change.needs_restart)
        .map(|change| &*change.key)
        .collect();
    if !restart.is_empty() {
        warn!(
            "changed, but in force only after a restart: {}",
            restart.join(", ")
        );
    }
}

/// Which secrets and users are others than before; never what they are.
fn credential_changes(old: &Credentials, new: &Credentials) -> Vec<ConfigChange> {
    let change = |key: String, from: &str, to: &str| ConfigChange {
        key: Text::truncated(&key),
        from: Text::truncated(from),
        to: Text::truncated(to),
        needs_restart: false,
    };
    let mut changes = Vec::new();
    for secret in &new.secrets {
        let before = old.secrets.iter().find(|before| before.id == secret.id);
        if before.is_some_and(|before| before.key != secret.key) {
            let key = format!("auth.secrets {:?}", secret.id);
            changes.push(change(key, "(hidden)", "(changed)"));
        }
    }
    let added = |a: &Credentials, b: &Credentials| {
        let known: std::collections::HashSet<&str> =
            a.users.iter().map(|user| &*user.name).collect();
        b.users
            .iter()
            .filter(|user| !known.contains(&*user.name))
            .count()
    };
    let passwords: std::collections::HashMap<&str, &str> = old
        .users
        .iter()
        .map(|user| (&*user.name, &*user.password))
        .collect();
    let changed = new
        .users
        .iter()
        .filter(|user| {
            passwords
                .get(&*user.name)
                .is_some_and(|password| *password != user.password)
        })
        .count();
    let (added, removed) = (added(old, new), added(new, old));
    if added + removed + changed > 0 {
        changes.push(change(
            "users".to_owned(),
            &old.users.len().to_string(),
            &format!(
                "{} ({added} added, {removed} removed, {changed} changed)",
                new.users.len()
            ),
        ));
    }
    changes
}
