//! A model, a data plane that only remembers, people with their queues, and
//! time that passes when told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_controlplane::calls::CallSink;
use forebay_controlplane::config;
use forebay_controlplane::link::reconcile::Media;
use forebay_controlplane::rooms::ids::{Identity, RoomName};
use forebay_controlplane::rooms::metrics::RoomMetrics;
use forebay_controlplane::rooms::model::{
    Arrival, Entered, Failure, Model, Now, Outgoing, TICK, UNREAD,
};
use forebay_controlplane::rooms::note::Way;
use forebay_controlplane::tokens::{Access, Grants, TokenKey, TokenKeys};
use forebay_ipc::media::{MediaEvent, SessionEnd, SessionKey};
use forebay_ipc::{Bytes, Outcome, Sensitive};
use serde_json::Value;
use tokio::sync::mpsc;

pub(crate) use crate::support::plane::Plane;

pub(crate) fn keys() -> TokenKeys {
    TokenKeys(vec![TokenKey {
        id: "first".to_owned(),
        key: Sensitive::new(Bytes::new(*b"0123456789abcdef0123456789abcdef").unwrap()),
    }])
}

pub(crate) struct Hall {
    pub(crate) model: Model,
    pub(crate) plane: Plane,
    pub(crate) now: Now,
    pub(crate) limits: config::Rooms,
    pub(crate) metrics: Arc<RoomMetrics>,
}

/// Somebody and what it was told.
pub(crate) struct Person {
    pub(crate) entered: Entered,
    queue: mpsc::Receiver<Outgoing>,
    pub(crate) heard: Vec<Value>,
}

pub(crate) fn access(identity: &str, grants: Grants) -> Access {
    Access {
        room: RoomName::new("lobby").unwrap(),
        identity: Identity::new(identity).unwrap(),
        name: identity.to_uppercase(),
        grants,
    }
}

impl Hall {
    pub(crate) fn new() -> Self {
        Self::with(config::Rooms::default())
    }

    pub(crate) fn with(limits: config::Rooms) -> Self {
        let mut hall = Self::without_data_plane(limits);
        hall.connect();
        hall
    }

    pub(crate) fn without_data_plane(limits: config::Rooms) -> Self {
        let now = Now {
            instant: Instant::now(),
            unix: 1_800_000_000,
        };
        let metrics = Arc::new(RoomMetrics::default());
        Self {
            model: Model::new(
                now,
                limits.clone(),
                keys(),
                metrics.clone(),
                CallSink::none(),
            ),
            metrics,
            plane: Plane::default(),
            now,
            limits,
        }
    }

    pub(crate) fn connect(&mut self) {
        self.model.on_connected(self.now, self.plane.snapshot());
        self.settle();
    }

    /// A control plane that was killed and started again.
    pub(crate) fn restart_control(&mut self) {
        let fresh = Self::without_data_plane(self.limits.clone());
        self.model = fresh.model;
        self.metrics = fresh.metrics;
        self.connect();
    }

    /// A data plane that was killed and started again.
    pub(crate) fn restart_data(&mut self) {
        self.model.on_disconnected();
        self.plane = Plane {
            boot: self.plane.boot + 1,
            media: Media::default(),
        };
        self.connect();
    }

    /// Carries out what is wanted until nothing is left, and checks that the
    /// data plane has exactly that.
    pub(crate) fn settle(&mut self) {
        while let Some((token, command)) = self.model.media().next_command() {
            let outcome = self.plane.apply(&command);
            assert_eq!(outcome, Outcome::Done, "{command:?}");
            self.model.on_ack(self.now, token, outcome, "");
        }
        assert_eq!(self.model.media().desired(), &self.plane.media);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.pass_unsettled(time);
        self.settle();
    }

    /// Time alone.
    pub(crate) fn pass_unsettled(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while self.now.instant < end {
            self.now.instant += TICK;
            self.model.tick(self.now);
        }
        self.now.unix += time.as_secs();
    }

    pub(crate) fn join(&mut self, identity: &str) -> Person {
        self.join_with(identity, Grants::USUAL, true).unwrap()
    }

    pub(crate) fn join_with(
        &mut self,
        identity: &str,
        grants: Grants,
        auto_subscribe: bool,
    ) -> Result<Person, Failure> {
        let (outbox, queue) = mpsc::channel(UNREAD);
        let entered = self.model.join(
            self.now,
            access(identity, grants),
            Way::Web,
            auto_subscribe,
            Some((outbox, Arrival::default())),
        )?;
        self.settle();
        Ok(Person {
            entered,
            queue,
            heard: Vec::new(),
        })
    }

    pub(crate) fn resume(&mut self, token: &str) -> Result<Person, Failure> {
        let (outbox, queue) = mpsc::channel(UNREAD);
        let resume = keys().verify_resume(token).unwrap();
        let entered = self
            .model
            .resume(self.now, resume, outbox, &Arrival::default())?;
        self.settle();
        Ok(Person {
            entered,
            queue,
            heard: Vec::new(),
        })
    }

    /// Publishes a recorded offer; the ids of its tracks in its order.
    pub(crate) fn publish(&mut self, person: &Person, name: &str, fresh: bool) -> Vec<String> {
        let (answer, tracks) = self
            .model
            .publish(self.now, &person.entered.whom, &recorded(name), &[], fresh)
            .unwrap();
        assert!(answer.contains("a=ice-lite"));
        self.settle();
        tracks.iter().map(|t| t.track.id.to_string()).collect()
    }

    /// Answers whatever offer waits; what was in it.
    pub(crate) fn answer(&mut self, person: &mut Person) -> Option<Value> {
        person.listen();
        let offer = person.last("offer")?;
        person.heard.retain(|said| said["type"] != "offer");
        let text = answer_to(offer["offer"].as_str().unwrap(), "WXYZ");
        self.model
            .answer(
                &person.entered.whom,
                offer["revision"].as_u64().unwrap(),
                &text,
            )
            .unwrap();
        self.settle();
        person.listen();
        Some(offer)
    }

    pub(crate) fn event(&mut self, event: &MediaEvent) {
        self.model.on_event(self.now, event);
        self.settle();
    }

    /// The data plane ends a session.
    pub(crate) fn end(&mut self, session: SessionKey) {
        self.plane.remove(session);
        self.event(&MediaEvent::Ended {
            session,
            why: SessionEnd::Consent,
        });
    }
}

impl Person {
    /// Takes in what is in its queue.
    pub(crate) fn listen(&mut self) {
        while let Ok(message) = self.queue.try_recv() {
            match message {
                Outgoing::Text(text) => self.heard.push(serde_json::from_str(&text).unwrap()),
                Outgoing::Close(code, why) => self
                    .heard
                    .push(serde_json::json!({ "type": "close", "code": code, "why": why })),
            }
        }
    }

    /// The latest message of a type.
    pub(crate) fn last(&mut self, name: &str) -> Option<Value> {
        self.listen();
        self.heard
            .iter()
            .rev()
            .find(|said| said["type"] == name)
            .cloned()
    }

    pub(crate) fn count(&mut self, name: &str) -> usize {
        self.listen();
        self.heard
            .iter()
            .filter(|said| said["type"] == name)
            .count()
    }

    pub(crate) fn forget(&mut self) {
        self.listen();
        self.heard.clear();
    }

    /// The token it was given last.
    pub(crate) fn resume_token(&mut self) -> String {
        let welcome = self
            .last("resumed")
            .or_else(|| self.last("joined"))
            .unwrap();
        welcome["resume_token"].as_str().unwrap().to_owned()
    }

    /// Whether its queue was given up.
    pub(crate) fn is_cut_off(&mut self) -> bool {
        self.listen();
        self.queue.is_closed()
    }
}

/// A real client's offer.
pub(crate) fn recorded(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdp/offers");
    std::fs::read_to_string(format!("{folder}/{name}.sdp")).unwrap()
}

/// What a browser that takes everything answers.
pub(crate) fn answer_to(offer: &str, ufrag: &str) -> String {
    let fingerprint = vec!["AB"; 32].join(":");
    let mut answer = String::new();
    for line in offer.split_terminator("\r\n") {
        let keep = ["v=", "s=", "t=", "c=", "m="]
            .iter()
            .any(|k| line.starts_with(k))
            || [
                "a=group:",
                "a=mid:",
                "a=rtpmap:",
                "a=fmtp:",
                "a=rtcp-fb:",
                "a=extmap:",
                "a=rtcp-mux",
                "a=rtcp-rsize",
            ]
            .iter()
            .any(|k| line.starts_with(k));
        if line.starts_with("o=") {
            answer.push_str("o=- 1 2 IN IP4 127.0.0.1\r\n");
        } else if keep {
            answer.push_str(line);
            answer.push_str("\r\n");
        }
        match line {
            "a=sendonly" => answer.push_str("a=recvonly\r\n"),
            "a=inactive" => answer.push_str("a=inactive\r\n"),
            _ => {}
        }
        if line.starts_with("m=") {
            answer.push_str(&format!(
                "a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789012345678901234567\r\n\
                 a=fingerprint:sha-256 {fingerprint}\r\na=setup:active\r\n"
            ));
        }
    }
    answer
}
