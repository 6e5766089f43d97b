//! The subscriber connection: we offer.

use serde::{Deserialize, Serialize};

use super::{AcceptedCodec, LocalTransport, NegotiatedSubscriber, SdpError, SentTrack};

/// The sections of a subscriber connection in their order. Sections are never
/// removed, only idle; an idle one of the same kind is used again.
#[derive(Debug, Clone)]
pub struct SubscriberState {
    note: SubscriberNote,
}

/// What must be remembered of a [`SubscriberState`] beside the tracks that
/// are sent: at most 2 KiB as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberNote {
    session_id: u64,
    /// Of `o=`; rises with every offer.
    version: u64,
    /// `a` or `v` per section; its mid is its index.
    sections: String,
}

impl SubscriberState {
    /// Without sections. `cname` is that of the data plane's session.
    pub fn new(session_id: u64, cname: &str) -> Self {
        let _ = cname;
        Self {
            note: SubscriberNote {
                session_id,
                version: 0,
                sections: String::new(),
            },
        }
    }

    /// From a note and what is sent by mid.
    pub fn restore(note: SubscriberNote, cname: &str, sent: Vec<(String, SentTrack)>) -> Self {
        let _ = (cname, sent);
        Self { note }
    }

    /// To be kept with the session.
    pub fn note(&self) -> SubscriberNote {
        self.note.clone()
    }

    /// Gives the track a section; its mid. Refused when there are too many
    /// sections.
    pub fn add(&mut self, track: SentTrack) -> Result<String, SdpError> {
        let _ = track;
        Err(SdpError::TooMany("sections"))
    }

    /// The section is idle from the next offer on.
    pub fn remove(&mut self, mid: &str) {
        let _ = mid;
    }

    /// Everything a browser may be sent before its first answer narrows it.
    pub fn offered() -> Vec<AcceptedCodec> {
        Vec::new()
    }

    /// The next offer.
    pub fn offer(&mut self, local: &LocalTransport) -> String {
        let _ = local;
        String::new()
    }

    /// Reads the answer to the latest offer.
    pub fn apply_answer(&mut self, text: &str) -> Result<NegotiatedSubscriber, SdpError> {
        let _ = text;
        Err(SdpError::Unusable("not negotiated yet".to_owned()))
    }
}
