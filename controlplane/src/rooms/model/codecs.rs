//! Which codecs a room allows and prefers: the operator's choice for it, else
//! the configuration's.

use super::room::Room;
use super::subscribe::remember;
use super::subscriber::Sections;
use super::viewer::remember_viewer;
use super::{Context, Failure, Model};
use crate::rooms::ids::{ParticipantId, RoomName};
use crate::rooms::message::ErrorCode;
use crate::rooms::note::{self, SessionNote};
use crate::sdp::CodecPolicy;

impl Model {
    /// What holds for the room, whether or not anybody is in it.
    pub fn codecs(&self, room: &RoomName) -> CodecPolicy {
        match self.codecs.get(room) {
            Some(chosen) => chosen.clone(),
            None => self.cx.limits.codecs(),
        }
    }

    /// Chooses for the room, from its next negotiations on; with `None` the
    /// configuration's holds again. Remembered until then, or until this
    /// process ends with nobody in the room. As many rooms may have a choice
    /// as there may be rooms.
    pub fn choose_codecs(
        &mut self,
        room: &RoomName,
        chosen: Option<CodecPolicy>,
    ) -> Result<(), Failure> {
        match &chosen {
            Some(policy) => {
                let full = self.codecs.len() >= self.cx.limits.max_rooms;
                if full && !self.codecs.contains_key(room) {
                    return Err(Failure::new(
                        ErrorCode::Limit,
                        "too many rooms have codecs of their own",
                    ));
                }
                self.codecs.insert(room.clone(), policy.clone());
            }
            None => {
                self.codecs.remove(room);
            }
        }
        if let Some(room) = self.rooms.get_mut(room) {
            room.codecs = chosen;
            room.note_again(&mut self.cx);
        }
        Ok(())
    }
}

impl Room {
    /// What holds for the room.
    pub(super) fn codecs(&self, cx: &Context) -> CodecPolicy {
        self.codecs.clone().unwrap_or_else(|| cx.limits.codecs())
    }

    /// What the data plane keeps of the room says it, too.
    fn note_again(&mut self, cx: &mut Context) {
        let everybody: Vec<ParticipantId> = self.participants.keys().copied().collect();
        for id in everybody {
            let Ok(person_note) = self.person_note(id) else {
                continue;
            };
            let Some(person) = self.participants.get_mut(&id) else {
                continue;
            };
            if let (Some(connection), Some(offered)) =
                (&mut person.publisher, &person.publisher_note)
            {
                let fingerprint = super::hex(&connection.fingerprint);
                let note =
                    SessionNote::Publisher(fingerprint, person_note.clone(), offered.clone());
                connection.session.note = note::write(&note).unwrap_or_default();
                cx.media.want_session(connection.session.clone());
            }
            if let Some(subscriber) = &mut person.subscriber {
                match subscriber.state {
                    Sections::Offered(_) => remember(subscriber, person_note),
                    Sections::Fixed(_) => remember_viewer(subscriber, person_note),
                }
                cx.media.want_session(subscriber.connection.session.clone());
            }
        }
    }
}
