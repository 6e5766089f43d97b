//! How much and how long.

use super::work::Work;

const DAY: u64 = 24 * 3600;
/// What a client gets that asks for no lifetime, unless told otherwise.
const ALLOCATION: u64 = 600;

pub(super) fn translate(work: &mut Work<'_>) {
    if let Some((line, seconds)) = lifetime(work, "max-allocate-lifetime") {
        work.set(&[line], "lifetimes.allocation_max", format!("{seconds}s"));
        if seconds < ALLOCATION {
            work.set(&[line], "lifetimes.allocation", format!("{seconds}s"));
        }
    }
    if let Some((line, seconds)) = lifetime(work, "channel-lifetime") {
        work.set(&[line], "lifetimes.channel", format!("{seconds}s"));
        if seconds != 600 {
            work.note(line, "Clients count on 600 seconds (RFC 8656 §12).");
        }
    }
    if let Some((line, seconds)) = lifetime(work, "permission-lifetime") {
        work.set(&[line], "lifetimes.permission", format!("{seconds}s"));
        if seconds != 300 {
            work.note(line, "Clients count on 300 seconds (RFC 8656 §9).");
        }
    }
    bandwidth(work, "max-bps", "limits.bandwidth_per_allocation");
    bandwidth(work, "bps-capacity", "limits.bandwidth_host");
    if let Some((line, number)) =
        work.parsed::<u32>("drain-min-allocations", "a number of allocations")
    {
        if number == 0 {
            work.unneeded(
                line,
                "A drain ends when no allocation is left, or at lifetimes.drain.",
            );
        } else {
            work.set(&[line], "lifetimes.drain_at_most", i64::from(number));
        }
    }
}

fn lifetime(work: &mut Work<'_>, key: &str) -> Option<(usize, u64)> {
    let (line, seconds) = work.parsed::<u64>(key, "a number of seconds")?;
    if seconds == 0 || seconds > DAY {
        work.refuse(
            line,
            "A lifetime lies between a second and a day.",
            "write such a number, or remove the line for the default.",
        );
        return None;
    }
    Some((line, seconds))
}

/// coturn counts bytes per second, each direction by itself.
fn bandwidth(work: &mut Work<'_>, name: &str, key: &'static str) {
    let Some((line, bytes)) = work.parsed::<u64>(name, "a number of bytes per second") else {
        return;
    };
    if bytes == 0 {
        work.unneeded(line, "0 is no limit, to coturn as well.");
        return;
    }
    match i64::try_from(bytes.saturating_mul(8)) {
        Ok(bits) => work.set(&[line], key, bits),
        Err(_) => work.refuse(
            line,
            "The number is larger than any link.",
            "write bytes per second, or remove the line for no limit.",
        ),
    }
}
