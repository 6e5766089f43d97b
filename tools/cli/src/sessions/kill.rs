//! `forebay sessions kill`.

use std::path::Path;

use forebay_ipc::{Command, Outcome, Role, Session};

use super::filter::Filter;
use super::show::{id_of, uuid_of};
use crate::link::Link;

/// End allocations. Their clients are not told: what they send is dropped from
/// now on, and a Refresh is answered with 437 (Allocation Mismatch). A client
/// whose credential is still good may come back; withdraw the credential first
/// to keep it out.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Ids or uuids as listed by `forebay sessions`.
    #[arg(value_name = "ID", required_unless_present_any = ["user", "client", "relay"])]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only tell which would be ended.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(socket: Option<&Path>, arguments: &Arguments) -> Result<(), String> {
    let mut link = Link::connect(socket, Role::Operator, false)?;
    let sessions = link.sessions()?;
    let chosen = choose(&sessions, arguments)?;
    let mut ended = 0;
    for session in chosen {
        let line = format!(
            "{}  {}  {}  {}",
            id_of(session),
            session.relayed,
            session.client,
            session.username.escape_debug()
        );
        if arguments.dry_run {
            println!("would end  {line}");
            continue;
        }
        let id = link.command(Command::DeleteAllocation(session.id))?;
        let ack = link.answer(id, |_| {})?;
        match ack.outcome {
            Outcome::Done => {
                ended += 1;
                println!("ended  {line}");
            }
            Outcome::NotFound => println!("gone already  {line}"),
            _ => return Err(format!("{}; ended {ended} so far", &*ack.text)),
        }
    }
    Ok(())
}

fn choose<'a>(sessions: &'a [Session], arguments: &Arguments) -> Result<Vec<&'a Session>, String> {
    let mut chosen: Vec<&Session> = Vec::new();
    for id in &arguments.ids {
        let found = sessions
            .iter()
            .find(|session| id_of(session) == *id || uuid_of(session) == id.to_ascii_lowercase());
        chosen.push(found.ok_or_else(|| format!("no session {id:?}; nothing was ended"))?);
    }
    if !arguments.filter.is_empty() {
        let of_filter = |session: &&Session| arguments.filter.takes(session);
        if arguments.ids.is_empty() {
            chosen = sessions.iter().filter(of_filter).collect();
        } else {
            chosen.retain(of_filter);
        }
    }
    if chosen.is_empty() {
        return Err("no session fits; nothing was ended".to_owned());
    }
    Ok(chosen)
}
