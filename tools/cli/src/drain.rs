//! `forebay drain`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use forebay_ipc::{Command, DrainProgress, FromDataplane, Outcome, Role};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::link::Link;

/// Allocations were cut off by the deadline.
const CUT_OFF: u8 = 3;

/// Refuse new allocations and end the process when the old ones have ended, at
/// most so many of them are left, or the deadline has passed. What is left then
/// is cut off. A second drain replaces the bounds of the first.
///
/// Shows how many remain until the process has ended; Ctrl-C only ends the
/// showing. Ends with 0, or with 3 when the deadline has cut allocations off.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The control socket. Omitted: the usual places, a data plane first.
    #[arg(short, long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How long the old allocations may go on, for example 10m. Omitted: as
    /// configured in lifetimes.drain.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// Allocations that need not be waited for.
    #[arg(long, value_name = "N", default_value_t = 0)]
    at_most: u32,
    /// Return as soon as the drain has begun.
    #[arg(long)]
    no_wait: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut link = Link::connect(arguments.socket.as_deref(), Role::Operator, false)?;
    let within_seconds = match arguments.deadline {
        None => None,
        Some(deadline) => Some(
            u32::try_from(deadline.as_secs())
                .map_err(|_| "--deadline is too far in the future".to_owned())?,
        ),
    };
    let id = link.command(Command::Drain {
        within_seconds,
        at_most: arguments.at_most,
    })?;
    let ack = link.answer(id, |_| {})?;
    if ack.outcome != Outcome::Done {
        return Err(ack.text.to_string());
    }
    if arguments.no_wait {
        println!("draining");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(watch(&mut link))
}

/// Shows the progress until the process has gone.
fn watch(link: &mut Link) -> ExitCode {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} ended, {msg}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix("draining");
    let mut first: Option<u32> = None;
    let mut last: Option<DrainProgress> = None;
    // An error is the end of the connection: the process is gone.
    while let Ok(message) = link.next() {
        let FromDataplane::Drain(progress) = message else {
            continue;
        };
        let begun_with = *first.get_or_insert(progress.remaining);
        bar.set_length(begun_with.into());
        bar.set_position(begun_with.saturating_sub(progress.remaining).into());
        let told = format!(
            "{} remain, {} left{}",
            progress.remaining,
            humantime::format_duration(Duration::from_secs(progress.seconds_left.into())),
            match progress.at_most {
                0 => String::new(),
                most => format!(", ends at {most}"),
            }
        );
        if bar.is_hidden() && last.map(|last| last.remaining) != Some(progress.remaining) {
            println!("draining: {told}");
        }
        bar.set_message(told);
        last = Some(progress);
    }
    bar.finish_and_clear();
    match last {
        Some(last) if last.remaining > last.at_most && last.seconds_left <= 1 => {
            println!(
                "ended at the deadline, {} allocations were cut off",
                last.remaining
            );
            ExitCode::from(CUT_OFF)
        }
        _ => {
            println!("drained");
            ExitCode::SUCCESS
        }
    }
}
