//! Writing answers.

use forebay_wire::NoRoom;
use forebay_wire::stun::{
    AttributeType, Builder, Class, ErrorCode, Message, Method, TransactionId,
};

use crate::auth::Authenticated;

/// What answers have in common. Realm and software are short enough for
/// every answer to fit [`Server::MAX_ANSWER`](crate::Server::MAX_ANSWER).
pub(crate) struct Style {
    pub(crate) realm: Box<str>,
    pub(crate) software: Option<Box<str>>,
    pub(crate) fingerprint: bool,
}

impl Style {
    /// An answer to an authentic request: `fill` adds its attributes, then
    /// SOFTWARE, the integrity attribute of the request and FINGERPRINT follow.
    pub(crate) fn authenticated(
        &self,
        out: &mut [u8],
        message: &Message<'_>,
        class: Class,
        from: &Authenticated<'_>,
        fill: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>,
    ) -> Result<usize, NoRoom> {
        let head = (class, message.method(), message.transaction_id());
        self.signed(out, head, |answer| from.seal(answer), fill)
    }

    /// The same where the request is no longer at hand.
    pub(crate) fn signed(
        &self,
        out: &mut [u8],
        (class, method, id): (Class, Method, TransactionId),
        seal: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>,
        fill: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>,
    ) -> Result<usize, NoRoom> {
        let mut answer = Builder::new(out, class, method, id)?;
        fill(&mut answer)?;
        if let Some(software) = &self.software {
            answer.push(AttributeType::SOFTWARE, software.as_bytes())?;
        }
        seal(&mut answer)?;
        self.finish(answer)
    }

    /// An answer to anybody: nothing in it that is not needed, because it may
    /// go to a forged address.
    pub(crate) fn plain(
        &self,
        out: &mut [u8],
        message: &Message<'_>,
        class: Class,
        fill: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>,
    ) -> Result<usize, NoRoom> {
        let head = (class, message.method(), message.transaction_id());
        self.unsigned(out, head, fill)
    }

    /// A message that nothing proves: an answer to anybody, or an indication.
    pub(crate) fn unsigned(
        &self,
        out: &mut [u8],
        (class, method, id): (Class, Method, TransactionId),
        fill: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>,
    ) -> Result<usize, NoRoom> {
        let mut answer = Builder::new(out, class, method, id)?;
        fill(&mut answer)?;
        self.finish(answer)
    }

    fn finish(&self, mut answer: Builder<'_>) -> Result<usize, NoRoom> {
        if self.fingerprint {
            answer.push_fingerprint()?;
        }
        Ok(answer.len())
    }
}

/// The default reason phrase (RFC 8489 §14.8, RFC 8656 §19).
pub(crate) const fn reason(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TRY_ALTERNATE => "Try Alternate",
        ErrorCode::BAD_REQUEST => "Bad Request",
        ErrorCode::UNAUTHENTICATED => "Unauthenticated",
        ErrorCode::FORBIDDEN => "Forbidden",
        ErrorCode::MOBILITY_FORBIDDEN => "Mobility Forbidden",
        ErrorCode::UNKNOWN_ATTRIBUTE => "Unknown Attribute",
        ErrorCode::ALLOCATION_MISMATCH => "Allocation Mismatch",
        ErrorCode::STALE_NONCE => "Stale Nonce",
        ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED => "Address Family not Supported",
        ErrorCode::WRONG_CREDENTIALS => "Wrong Credentials",
        ErrorCode::UNSUPPORTED_TRANSPORT => "Unsupported Transport Protocol",
        ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH => "Peer Address Family Mismatch",
        ErrorCode::CONNECTION_ALREADY_EXISTS => "Connection Already Exists",
        ErrorCode::CONNECTION_FAILED => "Connection Timeout or Failure",
        ErrorCode::ALLOCATION_QUOTA_REACHED => "Allocation Quota Reached",
        ErrorCode::INSUFFICIENT_CAPACITY => "Insufficient Capacity",
        _ => "",
    }
}
