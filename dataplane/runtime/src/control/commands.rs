//! What a controller may change.

use std::collections::HashSet;
use std::time::Duration;

use forebay_ipc::{
    Command, ConfigChange, Generation, Outcome, Prefix, Role, SetCredentials, SetPolicy,
};
use forebay_turn::{Credentials, Secret, User};
use forebay_wire::clock::UnixSeconds;
use ipnet::IpNet;
use tracing::info;

use super::Configuration;
use super::snapshot::InForce;
use crate::node::{Declined, Node};

/// What became of a command.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// For people; empty on success.
    pub(super) text: String,
    /// What a reload changed, or what was wrong.
    pub(super) reloaded: Option<(Vec<ConfigChange>, String)>,
}

/// Whether a client in this role may command it.
pub(super) fn may(role: Role, command: &Command) -> bool {
    match role {
        Role::Controller => true,
        Role::Operator => matches!(
            command,
            Command::Drain { .. } | Command::DeleteAllocation(_) | Command::Reload
        ),
        Role::Observer => false,
    }
}

/// Carries a command out.
pub(super) fn carry_out(
    command: Command,
    node: &mut Node,
    in_force: &mut InForce,
    configuration: &mut dyn Configuration,
) -> Answer {
    let (outcome, text) = match command {
        Command::SetCredentials(set) => set_credentials(&set, node, in_force),
        Command::SetPolicy(set) => set_policy(&set, node, in_force),
        Command::Drain {
            within_seconds,
            at_most,
        } => {
            let within = within_seconds.map_or(configuration.drain_deadline(), |seconds| {
                Duration::from_secs(seconds.into())
            });
            info!(
                "told to drain within {} s, down to {at_most} allocations",
                within.as_secs()
            );
            node.begin_drain(within, at_most.into());
            busy_or_done(true)
        }
        Command::Reload => return reload(node, in_force, configuration),
        Command::DeleteAllocation(id) => {
            if node.registry().contains(id) {
                busy_or_done(node.delete(id).is_ok())
            } else {
                (Outcome::NotFound, "no such allocation".to_owned())
            }
        }
        Command::SetSession(session) => {
            let new = node
                .media()
                .is_some_and(|media| media.registry().session(session.key).is_none());
            if new && node.drain_time_left().is_some() {
                (Outcome::Busy, "this process is being drained".to_owned())
            } else {
                told(node.change_media(|media, workers| media.set_session(workers, *session)))
            }
        }
        Command::RemoveSession(key) => {
            told(node.change_media(|media, workers| media.remove_session(workers, key)))
        }
        Command::SetTrack(track) => {
            told(node.change_media(|media, workers| media.set_track(workers, *track)))
        }
        Command::RemoveTrack(key) => {
            told(node.change_media(|media, workers| media.remove_track(workers, key)))
        }
        Command::SetSubscription(subscription) => {
            told(node.change_media(|media, workers| media.set_subscription(workers, *subscription)))
        }
        Command::RemoveSubscription(key) => {
            told(node.change_media(|media, workers| media.remove_subscription(workers, key)))
        }
    };
    Answer {
        outcome,
        text,
        reloaded: None,
    }
}

fn reload(node: &mut Node, in_force: &InForce, configuration: &mut dyn Configuration) -> Answer {
    let (outcome, text, changes, error) =
        match configuration.reload(node, in_force.policy.is_some()) {
            Ok(changes) => (Outcome::Done, String::new(), changes, String::new()),
            Err(error) => (
                Outcome::Invalid,
                "the old configuration stays in force".to_owned(),
                Vec::new(),
                error,
            ),
        };
    Answer {
        outcome,
        text,
        reloaded: Some((changes, error)),
    }
}

fn told(outcome: Result<(), Declined>) -> (Outcome, String) {
    match outcome {
        Ok(()) => (Outcome::Done, String::new()),
        Err(Declined::Invalid(text)) => (Outcome::Invalid, text),
        Err(Declined::NotFound(text)) => (Outcome::NotFound, text),
        Err(Declined::Busy(text)) => (Outcome::Busy, text),
    }
}

fn busy_or_done(done: bool) -> (Outcome, String) {
    if done {
        (Outcome::Done, String::new())
    } else {
        (
            Outcome::Busy,
            "a worker's mailbox is full; try again".to_owned(),
        )
    }
}

fn stale(given: Generation, in_force: Option<Generation>) -> Option<(Outcome, String)> {
    let newest = in_force.filter(|newest| given <= *newest)?;
    Some((
        Outcome::Stale,
        format!("generation {} is in force, {} was given", newest.0, given.0),
    ))
}

fn set_credentials(
    set: &SetCredentials,
    node: &mut Node,
    in_force: &mut InForce,
) -> (Outcome, String) {
    if let Some(stale) = stale(set.generation, in_force.credentials) {
        return stale;
    }
    let mut ids = HashSet::new();
    let mut names = HashSet::new();
    if set
        .secrets
        .iter()
        .any(|secret| secret.key.expose().is_empty() || !ids.insert(&*secret.id))
        || set
            .users
            .iter()
            .any(|user| user.name.is_empty() || !names.insert(&*user.name))
    {
        let text = "every secret needs a key and an id of its own, every user a name of its own";
        return (Outcome::Invalid, text.to_owned());
    }
    let credentials = Credentials {
        secrets: set
            .secrets
            .iter()
            .map(|secret| Secret {
                id: secret.id.to_string(),
                key: secret.key.expose().to_vec(),
                not_after: secret.not_after.map(UnixSeconds),
            })
            .collect(),
        users: set
            .users
            .iter()
            .map(|user| User {
                name: user.name.to_string(),
                password: user.password.expose().to_string(),
            })
            .collect(),
    };
    let done = node.set_credentials(credentials).is_ok();
    if done {
        in_force.credentials = Some(set.generation);
        let ids: Vec<&str> = set.secrets.iter().map(|secret| &*secret.id).collect();
        info!(
            "the control plane set secrets {ids:?} and {} users",
            set.users.len()
        );
    }
    busy_or_done(done)
}

fn set_policy(set: &SetPolicy, node: &mut Node, in_force: &mut InForce) -> (Outcome, String) {
    if let Some(stale) = stale(set.generation, in_force.policy) {
        return stale;
    }
    let networks = |prefixes: &[Prefix]| -> Result<Vec<IpNet>, String> {
        prefixes
            .iter()
            .map(|prefix| {
                IpNet::new(prefix.address(), prefix.length())
                    .map(|network| network.trunc())
                    .map_err(|_| format!("{}/{} is no network", prefix.address(), prefix.length()))
            })
            .collect()
    };
    let policy = match (networks(&set.allow), networks(&set.deny)) {
        (Ok(allow), Ok(deny)) => node.plan().policy(allow, deny, set.lowest_port),
        (Err(text), _) | (_, Err(text)) => return (Outcome::Invalid, text),
    };
    let done = node.set_policy(policy).is_ok();
    if done {
        in_force.policy = Some(set.generation);
        info!(
            "the control plane set a peer policy: {} allowed, {} denied",
            set.allow.len(),
            set.deny.len()
        );
    }
    busy_or_done(done)
}
