//! The publisher connection: the client offers.

use super::{LocalTransport, NegotiatedPublisher, SdpError};

/// A parsed offer.
#[derive(Debug, Clone)]
pub struct PublisherOffer {}

impl PublisherOffer {
    /// Reads an offer of at most [`MAX`](super::MAX) bytes.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        let _ = text;
        Err(SdpError::Unusable("not negotiated yet".to_owned()))
    }

    /// The answer, and what was negotiated.
    pub fn answer(
        &self,
        local: &LocalTransport,
    ) -> Result<(String, NegotiatedPublisher), SdpError> {
        let _ = local;
        Err(SdpError::Unusable("not negotiated yet".to_owned()))
    }
}
