//! The task that owns the model, and the way to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use forebay_ipc::media::{Fingerprint, MediaEvent};
use forebay_ipc::{Command, Outcome};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::ids::{Identity, ParticipantId, RoomName, TrackId};
use super::message::{ConnectionName, ErrorCode, LayerWish, LeaveReason, Numbered, Request, Said};
use super::metrics::RoomMetrics;
use super::model::{
    Arrival, Entered, Failure, Model, NodeView, Now, Outbox, ParticipantView, RoomView, Snapshot,
    TICK, Whom,
};
use super::note::Way;
use crate::calls::CallSink;
use crate::link::reconcile::{IN_FLIGHT, Token};
use crate::sdp::{CodecPolicy, LocalTransport};
use crate::settings::{Settings, unix_now};
use crate::tokens::{Access, Resume};
use crate::whip::{EventKind, LayerSelection, Viewed};

/// Requests that may wait for the task.
const WAITING: usize = 1_024;
/// Pieces of news that may wait for the task.
const NEWS: usize = 1_024;

/// The actor has gone: the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rooms have ended")]
pub struct Ended;

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        Self::new(ErrorCode::Unavailable, ended.to_string())
    }
}

/// From the data plane.
#[derive(Debug)]
pub enum News {
    /// It is connected and has this. Commands carry the connection's number.
    Connected(Box<Snapshot>, u64),
    /// It is gone, or the connection is.
    Disconnected,
    /// Something happened to media.
    Events(Vec<MediaEvent>),
    /// New connections are offered another certificate.
    Certificate(Fingerprint),
    /// A command was answered.
    Ack(Token, Outcome, String),
}

/// The link's end: news in, commands out.
#[derive(Debug)]
pub struct Media {
    /// What happened.
    pub news: mpsc::Sender<News>,
    /// What is asked, at most [`IN_FLIGHT`] unanswered.
    pub commands: mpsc::Receiver<Asked>,
}

/// A command for the data plane.
#[derive(Debug)]
pub struct Asked {
    /// The connection it is meant for.
    pub epoch: u64,
    /// Comes back with the answer.
    pub token: Token,
    /// What.
    pub command: Command,
}

/// An answer's way back.
type Reply<T> = oneshot::Sender<T>;

/// One step of the model.
type Work = Box<dyn FnOnce(&mut Model, Now) + Send>;

enum Ask {
    Join {
        access: Box<Access>,
        way: Way,
        auto_subscribe: bool,
        web: Option<(Outbox, Arrival)>,
        reply: Reply<Result<Entered, Failure>>,
    },
    Resume {
        resume: Box<Resume>,
        outbox: Outbox,
        arrival: Arrival,
        reply: Reply<Result<Entered, Failure>>,
    },
    Detach(Entered),
    Message(Entered, Box<Numbered>),
    Run(Work),
}

/// The way to the rooms.
#[derive(Clone)]
pub struct Rooms(mpsc::Sender<Ask>);

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rooms")
    }
}

/// Starts the task.
pub fn start(
    settings: watch::Receiver<Arc<Settings>>,
    metrics: Arc<RoomMetrics>,
    calls: CallSink,
) -> (Rooms, Media) {
    let (asks, waiting) = mpsc::channel(WAITING);
    let (news, incoming) = mpsc::channel(NEWS);
    let (outgoing, commands) = mpsc::channel(IN_FLIGHT);
    let now = now();
    let config = settings.borrow().clone();
    let model = Model::new(
        now,
        config.config.rooms.clone(),
        config.token_keys.clone(),
        metrics,
        calls,
    );
    tokio::spawn(run(model, settings, waiting, incoming, outgoing));
    (Rooms(asks), Media { news, commands })
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        unix: unix_now(),
    }
}

async fn run(
    mut model: Model,
    mut settings: watch::Receiver<Arc<Settings>>,
    mut asks: mpsc::Receiver<Ask>,
    mut news: mpsc::Receiver<News>,
    commands: mpsc::Sender<Asked>,
) {
    let mut epoch = 0;
    let mut linked = true;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // News first: a decision is better taken on what is known.
            biased;
            piece = news.recv(), if linked => match piece {
                Some(piece) => hear(&mut model, now(), piece, &mut epoch),
                // The process stops; whoever is here is told so.
                None => linked = false,
            },
            _ = tick.tick() => model.tick(now()),
            changed = settings.changed(), if linked => {
                if changed.is_err() {
                    linked = false;
                    continue;
                }
                let settings = settings.borrow_and_update().clone();
                model.configure(settings.config.rooms.clone(), settings.token_keys.clone());
            }
            ask = asks.recv() => match ask {
                Some(ask) => answer(&mut model, now(), ask),
                None => return,
            },
        }
        while commands.capacity() > 0
            && let Some((token, command)) = model.media().next_command()
        {
            // There is room, and the receiver lives as long as the process.
            let _ = commands.try_send(Asked {
                epoch,
                token,
                command,
            });
        }
    }
}

fn hear(model: &mut Model, now: Now, piece: News, epoch: &mut u64) {
    match piece {
        News::Connected(snapshot, number) => {
            *epoch = number;
            model.on_connected(now, *snapshot);
        }
        News::Disconnected => model.on_disconnected(),
        News::Events(events) => {
            for event in &events {
                model.on_event(now, event);
            }
        }
        News::Certificate(fingerprint) => model.on_certificate(fingerprint),
        News::Ack(token, outcome, text) => model.on_ack(now, token, outcome, &text),
    }
}

fn answer(model: &mut Model, now: Now, ask: Ask) {
    // Whoever asked may have gone; then nobody misses the answer.
    match ask {
        Ask::Join {
            access,
            way,
            auto_subscribe,
            web,
            reply,
        } => {
            let _ = reply.send(model.join(now, *access, way, auto_subscribe, web));
        }
        Ask::Resume {
            resume,
            outbox,
            arrival,
            reply,
        } => {
            let _ = reply.send(model.resume(now, *resume, outbox, &arrival));
        }
        Ask::Detach(entered) => model.detach(now, &entered),
        Ask::Message(from, message) => on_message(model, now, &from, *message),
        Ask::Run(work) => work(model, now),
    }
}

/// Carries a request out and answers it in the participant's queue.
fn on_message(model: &mut Model, now: Now, from: &Entered, message: Numbered) {
    let whom = &from.whom;
    let id = message.id.unwrap_or_default();
    let request = match message.request {
        Ok(request) => request,
        Err((code, text)) => {
            model.reply(
                from,
                &Said::Error {
                    id: message.id,
                    code,
                    message: &text,
                },
            );
            return;
        }
    };
    let result = match request {
        Request::Join { .. } | Request::Resume { .. } => {
            Err(Failure::new(ErrorCode::BadMessage, "already in the room"))
        }
        Request::Ping {} => {
            model.reply(from, &Said::Pong { id });
            return;
        }
        Request::Leave {} => {
            model.reply(from, &Said::Ok { id });
            model.close(from, 1000, "left");
            let _ = model.leave(now, whom, LeaveReason::Left);
            return;
        }
        Request::Publish {
            offer,
            tracks,
            fresh,
        } => match model.publish(now, whom, &offer, &tracks, fresh) {
            Ok((answer, tracks)) => {
                model.reply(
                    from,
                    &Said::Published {
                        id,
                        answer: &answer,
                        tracks,
                    },
                );
                return;
            }
            Err(failure) => Err(failure),
        },
        Request::Unpublish { track } => model.unpublish(whom, track),
        Request::Mute { track, muted } => model.mute(&whom.room, Some(whom.id), track, muted),
        Request::Answer { revision, answer } => model.answer(whom, revision, &answer),
        Request::Subscribe { tracks } => model.subscribe(whom, &tracks, true),
        Request::Unsubscribe { tracks } => model.subscribe(whom, &tracks, false),
        Request::Layers { last_n, tracks } => model.layers(whom, last_n, &tracks),
        Request::Restart { connection, fresh } => match connection {
            ConnectionName::Subscriber => model.restart_subscriber(whom, fresh),
            ConnectionName::Publisher => Err(Failure::new(
                ErrorCode::BadMessage,
                "the publisher is restarted by publish",
            )),
        },
        Request::Message { text, to } => model.message(whom, to, &text),
        Request::Stats { tracks } => model.stats(whom, &tracks),
        Request::Kick {
            participant,
            reason,
        } => {
            let target = Whom {
                room: whom.room.clone(),
                id: participant,
            };
            model.kick(now, Some(whom.id), &target, &reason)
        }
    };
    match &result {
        Ok(()) => model.reply(from, &Said::Ok { id }),
        Err(failure) => model.reply(
            from,
            &Said::Error {
                id: Some(id),
                code: failure.code,
                message: &failure.message,
            },
        ),
    }
}

impl Rooms {
    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Ended> {
        let (reply, answer) = oneshot::channel();
        self.0.send(make(reply)).await.map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Model, Now) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        self.ask(|reply| {
            Ask::Run(Box::new(move |model, now| {
                let _ = reply.send(work(model, now));
            }))
        })
        .await
    }

    /// Somebody enters; the answer goes into the outbox of a web participant.
    pub async fn join(
        &self,
        access: Access,
        way: Way,
        auto_subscribe: bool,
        web: Option<(Outbox, Arrival)>,
    ) -> Result<Entered, Failure> {
        self.ask(|reply| Ask::Join {
            access: Box::new(access),
            way,
            auto_subscribe,
            web,
            reply,
        })
        .await?
    }

    /// Somebody comes back.
    pub async fn resume(
        &self,
        resume: Resume,
        outbox: Outbox,
        arrival: Arrival,
    ) -> Result<Entered, Failure> {
        self.ask(|reply| Ask::Resume {
            resume: Box::new(resume),
            outbox,
            arrival,
            reply,
        })
        .await?
    }

    /// A WebSocket is gone.
    pub async fn detach(&self, entered: Entered) {
        let _ = self.0.send(Ask::Detach(entered)).await;
    }

    /// A message of a web participant; answered in its outbox.
    pub async fn message(&self, from: Entered, message: Numbered) -> Result<(), Ended> {
        self.0
            .send(Ask::Message(from, Box::new(message)))
            .await
            .map_err(|_| Ended)
    }

    /// Enters and publishes in one (WHIP); the answer. On failure nobody has
    /// entered.
    pub async fn ingest(&self, access: Access, offer: String) -> Result<(Whom, String), Failure> {
        self.run(move |model, now| {
            let entered = model.join(now, access, Way::Whip, false, None)?;
            match model.publish(now, &entered.whom, &offer, &[], true) {
                Ok((answer, _)) => Ok((entered.whom, answer)),
                Err(failure) => {
                    let _ = model.leave(now, &entered.whom, LeaveReason::Left);
                    Err(failure)
                }
            }
        })
        .await?
    }

    /// Enters and views in one (WHEP); the answer. On failure nobody has
    /// entered.
    pub async fn play(&self, access: Access, offer: String) -> Result<(Whom, String), Failure> {
        self.run(move |model, now| {
            let entered = model.join(now, access, Way::Whep, true, None)?;
            match model.view(&entered.whom, &offer) {
                Ok(answer) => Ok((entered.whom, answer)),
                Err(failure) => {
                    let _ = model.leave(now, &entered.whom, LeaveReason::Left);
                    Err(failure)
                }
            }
        })
        .await?
    }

    /// Whose a connection is, and the fragments of its ends: ours, then the
    /// peer's.
    pub async fn ice_session(
        &self,
        whom: Whom,
        connection: ConnectionName,
    ) -> Result<(Identity, String, String), Failure> {
        self.run(move |model, _| model.ice_session(&whom, connection))
            .await?
    }

    /// New ICE credentials of ours for the peer's new ones.
    pub async fn restart_ice(
        &self,
        whom: Whom,
        connection: ConnectionName,
        remote_ufrag: String,
    ) -> Result<LocalTransport, Failure> {
        self.run(move |model, _| model.restart_ice(&whom, connection, &remote_ufrag))
            .await?
    }

    /// What a participant can show.
    pub async fn layers(&self, whom: Whom, wishes: Vec<LayerWish>) -> Result<(), Failure> {
        self.run(move |model, _| model.layers(&whom, None, &wishes))
            .await?
    }

    /// A viewer asks for a layer.
    pub async fn select_layer(&self, whom: Whom, selection: LayerSelection) -> Result<(), Failure> {
        self.run(move |model, _| model.select_layer(&whom, &selection))
            .await?
    }

    /// Opens a stream of events for a viewer; its name.
    pub async fn open_events(
        &self,
        whom: Whom,
        kinds: BTreeSet<EventKind>,
    ) -> Result<String, Failure> {
        self.run(move |model, _| model.open_events(&whom, kinds))
            .await?
    }

    /// What a stream of events is about now, and which it has.
    pub async fn viewed(
        &self,
        whom: Whom,
        stream: String,
    ) -> Result<(Viewed, BTreeSet<EventKind>), Failure> {
        self.run(move |model, _| model.viewed(&whom, &stream))
            .await?
    }

    /// Ends a stream of events.
    pub async fn close_events(&self, whom: Whom, stream: String) -> Result<(), Failure> {
        self.run(move |model, _| model.close_events(&whom, &stream))
            .await?
    }

    /// Names tracks to be received, or no longer.
    pub async fn subscribe(
        &self,
        whom: Whom,
        tracks: Vec<TrackId>,
        wanted: bool,
    ) -> Result<(), Failure> {
        self.run(move |model, _| model.subscribe(&whom, &tracks, wanted))
            .await?
    }

    /// Somebody leaves.
    pub async fn leave(&self, whom: Whom, reason: LeaveReason) -> Result<(), Failure> {
        self.run(move |model, now| model.leave(now, &whom, reason))
            .await?
    }

    /// The operator removes somebody.
    pub async fn kick(&self, whom: Whom, reason: String) -> Result<(), Failure> {
        self.run(move |model, now| model.kick(now, None, &whom, &reason))
            .await?
    }

    /// The operator mutes a track.
    pub async fn mute(&self, room: RoomName, track: TrackId, muted: bool) -> Result<(), Failure> {
        self.run(move |model, _| model.mute(&room, None, track, muted))
            .await?
    }

    /// All rooms.
    pub async fn rooms(&self) -> Result<Vec<RoomView>, Failure> {
        Ok(self.run(|model, _| model.rooms()).await?)
    }

    /// One room and everybody in it.
    pub async fn room(&self, name: RoomName) -> Result<(RoomView, Vec<ParticipantView>), Failure> {
        self.run(move |model, _| model.room(&name)).await?
    }

    /// What a room's publishers may use.
    pub async fn codecs(&self, room: RoomName) -> Result<CodecPolicy, Failure> {
        Ok(self.run(move |model, _| model.codecs(&room)).await?)
    }

    /// Chooses that for a room, or with `None` no longer.
    pub async fn choose_codecs(
        &self,
        room: RoomName,
        chosen: Option<CodecPolicy>,
    ) -> Result<(), Failure> {
        self.run(move |model, _| model.choose_codecs(&room, chosen))
            .await?
    }

    /// One participant.
    pub async fn participant(
        &self,
        room: RoomName,
        id: ParticipantId,
    ) -> Result<ParticipantView, Failure> {
        self.run(move |model, _| model.participant(&room, id))
            .await?
    }

    /// The data plane.
    pub async fn data_plane(&self) -> Result<NodeView, Failure> {
        Ok(self.run(|model, _| model.data_plane()).await?)
    }
}
