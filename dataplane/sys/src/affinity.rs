//! Pinning a thread to a core.

use core_affinity::CoreId;

/// The cores this process may run on, ascending.
pub fn allowed_cores() -> Vec<usize> {
    let mut cores: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .map(|core| core.id)
        .collect();
    cores.sort_unstable();
    cores
}

/// Pins the calling thread. False when the core does not exist or is not
/// among [`allowed_cores`].
#[must_use]
pub fn pin(core: usize) -> bool {
    // Asked first: the crate panics on numbers beyond the kernel's mask.
    allowed_cores().contains(&core) && core_affinity::set_for_current(CoreId { id: core })
}
