//! The process itself, under the names every exporter uses.

use std::fmt;
use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::unistd::{SysconfVar, sysconf};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::exposition::gauge;

/// Adds the process metrics; what cannot be read is left out.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let counter = ConstCounter::new(seconds(usage.user_time()) + seconds(usage.system_time()));
        counter.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "CPU time of the process, user and system.",
            None,
            MetricType::Counter,
        )?)?;
    }
    if let Some([size, resident]) = memory() {
        gauge(
            encoder,
            "process_virtual_memory_bytes",
            "Address space.",
            size,
        )?;
        gauge(
            encoder,
            "process_resident_memory_bytes",
            "Resident memory.",
            resident,
        )?;
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The directory itself is one of them while it is read.
        let open = i64::try_from(entries.count().saturating_sub(1)).unwrap_or(i64::MAX);
        gauge(encoder, "process_open_fds", "Open file descriptors.", open)?;
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let soft = i64::try_from(soft).unwrap_or(i64::MAX);
        gauge(
            encoder,
            "process_max_fds",
            "Limit of open file descriptors.",
            soft,
        )?;
    }
    if let Some(start) = start_time() {
        ConstGauge::new(start).encode(encoder.encode_descriptor(
            "process_start_time_seconds",
            "When the process started, seconds since the Unix epoch.",
            None,
            MetricType::Gauge,
        )?)?;
    }
    Ok(())
}

/// Address space and resident memory, bytes.
fn memory() -> Option<[i64; 2]> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split(' ').map_while(|field| field.parse::<i64>().ok());
    Some([pages.next()? * page, pages.next()? * page])
}

/// From boot time and the start in ticks after it (proc(5), stat field 22).
fn start_time() -> Option<f64> {
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK).ok()?? as f64;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name may hold spaces and parentheses; the fields follow the last one.
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: f64 = after_name.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(boot + ticks / ticks_per_second)
}
