//! `forebay sessions`.

mod filter;
mod kill;
mod show;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use forebay_ipc::Role;

use crate::link::Link;
use filter::Filter;
use show::{Row, Sort, rows};

/// Time over which rates are measured.
const MEASURE: Duration = Duration::from_secs(1);

/// List the allocations of this host: user, client and server address,
/// transport, relayed address, what was relayed and how fast, age, and when it
/// ends unless its client refreshes it. Takes about a second, over which rates
/// are measured.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    kill: Option<Verb>,
    /// The control socket. Omitted: the usual places, a data plane first.
    #[arg(short, long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    /// What comes first.
    #[arg(long, value_enum, default_value_t = Sort::Rate)]
    sort: Sort,
    /// At most so many lines.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Show packets and the server's address too.
    #[arg(long)]
    wide: bool,
    /// Print JSON: one array, or with --watch one array per line.
    #[arg(long)]
    json: bool,
    /// Show it again and again, every so many seconds.
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    watch: Option<u32>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// End allocations: by id or uuid as listed, or all of a user or relay.
    Kill(kill::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let socket = arguments.socket.as_deref();
    if let Some(Verb::Kill(kill)) = &arguments.kill {
        return kill::run(socket, kill);
    }
    let mut link = Link::connect(socket, Role::Observer, false)?;
    let mut before = link.sessions()?;
    let pause = arguments
        .watch
        .map_or(MEASURE, |seconds| Duration::from_secs(seconds.into()));
    link.pause(MEASURE)?;
    loop {
        let now = link.sessions()?;
        let mut rows = rows(&before, &now, &arguments.filter);
        arguments.sort.apply(&mut rows);
        let all = rows.len();
        rows.truncate(arguments.limit.unwrap_or(usize::MAX));
        put(&shown(arguments, &rows, all))?;
        if arguments.watch.is_none() {
            return Ok(());
        }
        before = now;
        link.pause(pause)?;
    }
}

fn shown(arguments: &Arguments, rows: &[Row<'_>], all: usize) -> String {
    if arguments.json {
        return format!("{}\n", show::json(rows));
    }
    let text = show::table(rows, all, arguments.wide);
    if arguments.watch.is_some() && std::io::stdout().is_terminal() {
        // Home, then erase what is below: no flicker, no scrolling.
        return format!("\x1b[H\x1b[J{text}");
    }
    text
}

/// A reader that has gone, as `head` does, is no failure.
fn put(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome.map_err(|error| error.to_string()),
    }
}
