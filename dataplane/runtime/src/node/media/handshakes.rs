//! What handshakes lead to, on its way to the session's worker and to the
//! control thread.

use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, bounded};
use forebay_ipc::media::{MediaEvent, SessionEnd, SessionKey};
use forebay_media::Change;

use super::events;
use crate::config::Settings;
use crate::dtls::{self, Deliver, Failure, Handshakes, Outcome};
use crate::node::plan::MediaPlan;
use crate::worker::{Mailer, StartError, WorkerCommand};

/// News that may wait for the control thread, which reads every few
/// milliseconds: seconds of the fastest rate of handshakes.
const NEWS: usize = 4096;

/// The workers' mailboxes, once they run.
pub(super) type Mailers = Arc<OnceLock<Vec<Mailer>>>;

/// Starts the threads.
pub(super) fn start(
    settings: &Settings,
    plan: &MediaPlan,
    workers: usize,
) -> Result<(Handshakes, Mailers, Receiver<MediaEvent>), StartError> {
    let mailers = Mailers::default();
    let (news, receiver) = bounded(NEWS);
    let sessions = plan.forwarder.capacity.sessions as usize * workers;
    let dtls = dtls::Settings {
        threads: settings.media.dtls_threads,
        // A session that ended may not have been forgotten yet.
        sessions: sessions + sessions / 8 + 64,
        ..dtls::Settings::default()
    };
    let deliver: Deliver = {
        let mailers = Arc::clone(&mailers);
        Arc::new(move |worker, outcome| {
            match mailers.get().and_then(|mailers| mailers.get(worker)) {
                Some(mailer) => hand_over(mailer, &news, outcome),
                None => Err(outcome),
            }
        })
    };
    let handshakes =
        Handshakes::start(dtls, deliver).map_err(|error| StartError::Host(error.to_string()))?;
    Ok((handshakes, mailers, receiver))
}

/// Gives back what found no room.
fn hand_over(mailer: &Mailer, news: &Sender<MediaEvent>, outcome: Outcome) -> Result<(), Outcome> {
    if news.is_full() {
        return Err(outcome);
    }
    let tell = |event| {
        // There is room, but for what another helper has taken in the
        // meantime; that is as a control plane that was not there.
        let _ = news.try_send(event);
    };
    match outcome {
        Outcome::Send { session, datagrams } => {
            let mut datagrams = datagrams.into_iter();
            while let Some(datagram) = datagrams.next() {
                let command = WorkerCommand::Dtls {
                    session,
                    datagram: datagram.clone(),
                };
                if mailer.send(command).is_err() {
                    let rest = std::iter::once(datagram).chain(datagrams).collect();
                    return Err(Outcome::Send {
                        session,
                        datagrams: rest,
                    });
                }
            }
        }
        Outcome::Keys { session, keys } => {
            let profile = events::profile(keys.profile);
            let change = Change::SetKeys {
                session,
                keys: keys.clone(),
            };
            if mailer.send(WorkerCommand::Media(change)).is_err() {
                return Err(Outcome::Keys { session, keys });
            }
            tell(MediaEvent::Secured {
                session: SessionKey(session.0),
                profile,
            });
        }
        Outcome::Failed { session, .. } | Outcome::Closed { session } => {
            let why = match outcome {
                Outcome::Failed {
                    why: Failure::Fingerprint,
                    ..
                } => SessionEnd::Fingerprint,
                Outcome::Closed { .. } => SessionEnd::ClosedByPeer,
                _ => SessionEnd::Handshake,
            };
            let change = Change::RemoveSession(session);
            if mailer.send(WorkerCommand::Media(change)).is_err() {
                return Err(outcome);
            }
            tell(MediaEvent::Ended {
                session: SessionKey(session.0),
                why,
            });
        }
    }
    Ok(())
}
