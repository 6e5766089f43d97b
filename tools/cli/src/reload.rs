//! `forebay reload`.

use std::path::PathBuf;
use std::process::ExitCode;

use forebay_ipc::{Command, ConfigChange, FromDataplane, Outcome, Role};
use serde_json::json;

use crate::link::Link;

/// What was changed takes a restart.
const RESTART: u8 = 3;

/// Have the configuration file read again, as SIGHUP does: everything is
/// validated first, then everything that can change while the process runs is
/// applied, or nothing. Every key that differs is told; of secrets only that
/// they do.
///
/// Ends with 0 when all is in force, 3 when some of it takes a restart, 1 when
/// the file was refused and the old configuration stays.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The control socket. Omitted: the usual places, a data plane first.
    #[arg(short, long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut link = Link::connect(arguments.socket.as_deref(), Role::Operator, false)?;
    let id = link.command(Command::Reload)?;
    let mut told = None;
    let ack = link.answer(id, |other| {
        if let FromDataplane::Reloaded(reloaded) = other {
            told = Some(reloaded);
        }
    })?;
    let Some(reloaded) = told else {
        return Err(format!("{:?}: {}", ack.outcome, &*ack.text));
    };
    let refused = ack.outcome != Outcome::Done;
    let restart = reloaded.changes.iter().any(|change| change.needs_restart);
    if arguments.json {
        let changes: Vec<_> = reloaded
            .changes
            .iter()
            .map(|change| {
                json!({
                    "key": &*change.key,
                    "from": &*change.from,
                    "to": &*change.to,
                    "needs_restart": change.needs_restart,
                })
            })
            .collect();
        println!(
            "{}",
            json!({ "applied": !refused, "error": &*reloaded.error, "changes": changes })
        );
    } else if refused {
        eprintln!("{}", &*reloaded.error);
        eprintln!("forebay: refused, {}", &*ack.text);
    } else {
        print!("{}", text(&reloaded.changes));
    }
    Ok(if refused {
        ExitCode::FAILURE
    } else if restart {
        ExitCode::from(RESTART)
    } else {
        ExitCode::SUCCESS
    })
}

fn text(changes: &[ConfigChange]) -> String {
    if changes.is_empty() {
        return "reloaded, nothing has changed\n".to_owned();
    }
    let mut text = String::new();
    for (heading, restart) in [
        ("in force now", false),
        ("in force only after a restart", true),
    ] {
        let keys: Vec<_> = changes
            .iter()
            .filter(|change| change.needs_restart == restart)
            .collect();
        if !keys.is_empty() {
            text.push_str(heading);
            text.push('\n');
        }
        for change in keys {
            let value = |value: &str| match value {
                "" => "(nothing)".to_owned(),
                value => value.escape_debug().to_string().replace("\\\"", "\""),
            };
            text.push_str(&format!(
                "  {}  {} -> {}\n",
                change.key.escape_debug().to_string().replace("\\\"", "\""),
                value(&change.from),
                value(&change.to)
            ));
        }
    }
    text
}
