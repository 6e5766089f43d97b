//! A viewer's connection (WHEP): the client offers what it wants to receive.

use forebay_ipc::media::TrackKind;

use super::{AcceptedCodec, LocalTransport, NegotiatedSubscriber, SdpError, SentTrack};

/// A parsed offer.
#[derive(Debug, Clone)]
pub struct ViewerOffer {}

impl ViewerOffer {
    /// Reads an offer of at most [`MAX`](super::MAX) bytes.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        let _ = text;
        Err(SdpError::Unusable("not negotiated yet".to_owned()))
    }

    /// The sections that can receive, in the offer's order: mid, kind and
    /// what they take.
    pub fn sections(&self) -> Vec<(String, TrackKind, Vec<AcceptedCodec>)> {
        Vec::new()
    }

    /// The answer with these tracks in these sections (by mid); the others
    /// are inactive.
    pub fn answer(
        &self,
        local: &LocalTransport,
        cname: &str,
        sent: &[(String, SentTrack)],
    ) -> Result<(String, NegotiatedSubscriber), SdpError> {
        let _ = (local, cname, sent);
        Err(SdpError::Unusable("not negotiated yet".to_owned()))
    }
}
