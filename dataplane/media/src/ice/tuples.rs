//! Paths that carried a good check.

use forebay_wire::clock::Instant;

use crate::output::Path;

/// Paths a session keeps.
pub(crate) const MAX_TUPLES: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Tuple {
    path: Path,
    checked: Instant,
}

/// A session's authenticated paths.
#[derive(Debug, Default)]
pub(crate) struct Tuples {
    list: [Option<Tuple>; MAX_TUPLES],
}

impl Tuples {
    /// Notes a good check. True when the path is new; the path that had to
    /// give way for it is removed from the list and returned.
    pub(crate) fn checked(
        &mut self,
        now: Instant,
        path: &Path,
        selected: Option<&Path>,
    ) -> (bool, Option<Path>) {
        let mut free = None;
        let mut oldest: Option<(usize, Instant)> = None;
        for (at, place) in self.list.iter_mut().enumerate() {
            match place {
                Some(tuple) if tuple.path == *path => {
                    tuple.checked = now;
                    return (false, None);
                }
                Some(tuple) => {
                    let older = oldest.is_none_or(|(_, time)| tuple.checked < time);
                    if older && selected != Some(&tuple.path) {
                        oldest = Some((at, tuple.checked));
                    }
                }
                None => free = free.or(Some(at)),
            }
        }
        let Some(at) = free.or(oldest.map(|(at, _)| at)) else {
            return (false, None);
        };
        let given_up = self.list[at].replace(Tuple {
            path: *path,
            checked: now,
        });
        (true, given_up.map(|tuple| tuple.path))
    }

    /// Forgets a path.
    pub(crate) fn remove(&mut self, path: &Path) {
        for place in &mut self.list {
            if place.is_some_and(|tuple| tuple.path == *path) {
                *place = None;
            }
        }
    }

    /// The path checked last.
    pub(crate) fn latest(&self) -> Option<Path> {
        self.list
            .iter()
            .flatten()
            .max_by_key(|tuple| tuple.checked)
            .map(|tuple| tuple.path)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = Path> + '_ {
        self.list.iter().flatten().map(|tuple| tuple.path)
    }
}
