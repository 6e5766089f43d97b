//! What the data plane's own code costs per packet: nanoseconds, instructions
//! and allocations, without a kernel. Instructions are what two revisions are
//! compared by; nanoseconds vary with the machine and its load.

mod callgrind;
mod cases;
mod fan_out;
#[path = "../../../dataplane/engine/tests/host/mod.rs"]
mod host;
mod srtp;
mod views;

use std::alloc::System;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cases::{CASES, Case};
use clap::Parser;
use serde::Serialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Micro benchmarks of the data plane's code.
#[derive(Parser)]
struct Arguments {
    /// Only cases whose name contains this.
    filter: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Do not count instructions under valgrind.
    #[arg(long)]
    no_instructions: bool,
    /// Run the case of exactly this name this often and print nothing; what
    /// valgrind is given to run.
    #[arg(long, hide = true, num_args = 2, value_names = ["CASE", "ROUNDS"])]
    counted: Option<Vec<String>>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One line of the table; per operation.
#[derive(Serialize)]
struct Figures {
    case: &'static str,
    nanoseconds: f64,
    instructions: Option<f64>,
    allocations: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some([name, rounds]) = arguments.counted.as_deref() {
        return counted(name, rounds);
    }
    let chosen = |name: &str| {
        arguments
            .filter
            .as_ref()
            .is_none_or(|part| name.contains(part))
    };
    let mut table = Vec::new();
    for (name, what) in CASES.iter().filter(|(name, _)| chosen(name)) {
        let mut case = what.make();
        let (nanoseconds, allocations) = timed(&mut *case);
        let instructions = if arguments.no_instructions {
            None
        } else {
            match callgrind::instructions(name) {
                Ok(instructions) => Some(instructions),
                Err(error) => {
                    eprintln!("{name}: instructions not counted: {error}");
                    None
                }
            }
        };
        table.push(Figures {
            case: name,
            nanoseconds,
            instructions,
            allocations,
        });
    }
    if arguments.json {
        match serde_json::to_string_pretty(&table) {
            Ok(json) => println!("{json}"),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    } else {
        print(&table);
    }
    ExitCode::SUCCESS
}

fn print(table: &[Figures]) {
    println!(
        "{:<36} {:>9} {:>13} {:>12}",
        "per operation", "ns", "instructions", "allocations"
    );
    for figures in table {
        let instructions = figures
            .instructions
            .map_or_else(|| "-".into(), |instructions| format!("{instructions:.0}"));
        println!(
            "{:<36} {:>9.1} {instructions:>13} {:>12.2}",
            figures.case, figures.nanoseconds, figures.allocations
        );
    }
}

/// The function instructions are counted in; found by its name.
#[inline(never)]
fn measured_round(case: &mut dyn Case) -> u64 {
    case.run()
}

/// Nanoseconds and allocations per operation: the fastest of several samples,
/// because everything that disturbs one only makes it slower.
fn timed(case: &mut dyn Case) -> (f64, f64) {
    let mut fastest = f64::INFINITY;
    let mut allocations = 0;
    let mut operations = 0;
    for sample in 0..20 {
        let mut spent = Duration::ZERO;
        let mut done = 0;
        while spent < Duration::from_millis(10) {
            case.prepare();
            let region = Region::new(ALLOCATOR);
            let start = Instant::now();
            done += measured_round(case);
            spent += start.elapsed();
            let change = region.change();
            // The first sample warms up.
            if sample > 0 {
                allocations += change.allocations + change.reallocations;
            }
        }
        if sample > 0 {
            operations += done;
            fastest = fastest.min(spent.as_nanos() as f64 / done as f64);
        }
    }
    (fastest, allocations as f64 / operations as f64)
}

fn counted(name: &str, rounds: &str) -> ExitCode {
    let Some((_, what)) = CASES.iter().find(|(case, _)| *case == name) else {
        return ExitCode::FAILURE;
    };
    let Ok(rounds) = rounds.parse::<u32>() else {
        return ExitCode::FAILURE;
    };
    let mut case = what.make();
    let mut operations = 0;
    for _ in 0..rounds {
        case.prepare();
        operations += measured_round(&mut *case);
    }
    println!("{operations}");
    ExitCode::SUCCESS
}
