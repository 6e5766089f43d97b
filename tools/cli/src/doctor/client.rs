//! A TURN client, as small as a proof needs: allocate, permit, send,
//! receive, over UDP.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::define_attribute_enums;
use stun_codec::rfc5389::attributes::{
    ErrorCode, MessageIntegrity, Nonce, Realm, Username, XorMappedAddress,
};
use stun_codec::rfc5766::attributes::{
    Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayAddress,
};
use stun_codec::rfc5766::methods::{ALLOCATE, CREATE_PERMISSION, DATA, REFRESH, SEND};
use stun_codec::rfc8656::attributes::{AddressFamily, RequestedAddressFamily};
use stun_codec::{Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId};
use zeroize::Zeroizing;

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        Username,
        Realm,
        Nonce,
        ErrorCode,
        MessageIntegrity,
        XorMappedAddress,
        RequestedTransport,
        RequestedAddressFamily,
        XorRelayAddress,
        XorPeerAddress,
        Lifetime,
        Data
    ]
);

/// A request is repeated so often, each with twice the patience.
const ATTEMPTS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
];

/// Why there is no allocation.
pub(super) enum Refusal {
    /// Nobody answers.
    Silence,
    /// The server says so: code and reason.
    Error(u16, String),
    /// This host cannot ask, or the answer makes no sense.
    Other(String),
}

/// A user and a password.
pub(super) struct Credential {
    pub(super) username: String,
    pub(super) password: Zeroizing<String>,
}

/// An allocation, given back when dropped.
pub(super) struct Allocation {
    socket: UdpSocket,
    username: Username,
    realm: Realm,
    nonce: Nonce,
    password: Zeroizing<String>,
    /// The address peers see.
    pub(super) relayed: SocketAddr,
}

impl Allocation {
    /// Asks the server for one, in the family it is reached over.
    pub(super) fn open(server: SocketAddr, credential: &Credential) -> Result<Self, Refusal> {
        let local = if server.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(local).map_err(|error| Refusal::Other(error.to_string()))?;
        socket
            .connect(server)
            .map_err(|error| Refusal::Other(error.to_string()))?;
        let challenge = exchange(&socket, &allocate(server)?)?;
        let (Some(realm), Some(nonce)) = (
            challenge.get_attribute::<Realm>(),
            challenge.get_attribute::<Nonce>(),
        ) else {
            return Err(error_of(&challenge));
        };
        let mut allocation = Self {
            socket,
            username: Username::new(credential.username.clone())
                .map_err(|error| Refusal::Other(error.to_string()))?,
            realm: realm.clone(),
            nonce: nonce.clone(),
            password: credential.password.clone(),
            relayed: server,
        };
        let answer = allocation.authenticated(allocate(server)?)?;
        match answer.get_attribute::<XorRelayAddress>() {
            Some(relayed) => {
                allocation.relayed = relayed.address();
                Ok(allocation)
            }
            None => Err(Refusal::Other(
                "the answer names no relay address".to_owned(),
            )),
        }
    }

    /// Lets this peer send to us, and us to it.
    pub(super) fn permit(&self, peer: IpAddr) -> Result<(), Refusal> {
        let mut request = message(MessageClass::Request, CREATE_PERMISSION)?;
        request.add_attribute(XorPeerAddress::new(SocketAddr::new(peer, 0)));
        self.authenticated(request).map(drop)
    }

    /// Sends to a permitted peer.
    pub(super) fn send(&self, peer: SocketAddr, payload: &[u8]) -> Result<(), Refusal> {
        let mut indication = message(MessageClass::Indication, SEND)?;
        indication.add_attribute(XorPeerAddress::new(peer));
        let data =
            Data::new(payload.to_vec()).map_err(|error| Refusal::Other(error.to_string()))?;
        indication.add_attribute(data);
        self.socket
            .send(&encode(indication)?)
            .map(drop)
            .map_err(|error| Refusal::Other(error.to_string()))
    }

    /// Whether these bytes arrive from this peer within the time.
    pub(super) fn receives(&self, peer: SocketAddr, payload: &[u8], within: Duration) -> bool {
        let until = Instant::now() + within;
        while let Some(message) = receive(&self.socket, until) {
            let is_it = message.method() == DATA
                && message
                    .get_attribute::<Data>()
                    .is_some_and(|data| data.data() == payload)
                && message
                    .get_attribute::<XorPeerAddress>()
                    .is_some_and(|from| from.address() == peer);
            if is_it {
                return true;
            }
        }
        false
    }

    /// Sends a request with credentials; a success, or why not.
    fn authenticated(
        &self,
        mut request: Message<Attribute>,
    ) -> Result<Message<Attribute>, Refusal> {
        request.add_attribute(self.username.clone());
        request.add_attribute(self.realm.clone());
        request.add_attribute(self.nonce.clone());
        let integrity = MessageIntegrity::new_long_term_credential(
            &request,
            &self.username,
            &self.realm,
            &self.password,
        )
        .map_err(|error| Refusal::Other(error.to_string()))?;
        request.add_attribute(integrity);
        let answer = exchange(&self.socket, &request)?;
        if answer.class() == MessageClass::SuccessResponse {
            Ok(answer)
        } else {
            Err(error_of(&answer))
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // It ends by itself as well, in minutes.
        if let (Ok(mut request), Ok(now)) = (
            message(MessageClass::Request, REFRESH),
            Lifetime::new(Duration::ZERO),
        ) {
            request.add_attribute(now);
            let _ = self.authenticated(request);
        }
    }
}

fn allocate(server: SocketAddr) -> Result<Message<Attribute>, Refusal> {
    const UDP: u8 = 17;
    let mut request = message(MessageClass::Request, ALLOCATE)?;
    request.add_attribute(RequestedTransport::new(UDP));
    if server.is_ipv6() {
        request.add_attribute(RequestedAddressFamily::new(AddressFamily::V6));
    }
    Ok(request)
}

fn message(class: MessageClass, method: Method) -> Result<Message<Attribute>, Refusal> {
    let mut id = [0; 12];
    getrandom::fill(&mut id).map_err(|error| Refusal::Other(error.to_string()))?;
    Ok(Message::new(class, method, TransactionId::new(id)))
}

fn error_of(answer: &Message<Attribute>) -> Refusal {
    match answer.get_attribute::<ErrorCode>() {
        Some(error) => Refusal::Error(error.code(), error.reason_phrase().to_owned()),
        None => Refusal::Other("the answer carries neither success nor error".to_owned()),
    }
}

fn encode(message: Message<Attribute>) -> Result<Vec<u8>, Refusal> {
    MessageEncoder::new()
        .encode_into_bytes(message)
        .map_err(|error| Refusal::Other(error.to_string()))
}

/// Sends a request until its answer arrives.
fn exchange(
    socket: &UdpSocket,
    request: &Message<Attribute>,
) -> Result<Message<Attribute>, Refusal> {
    let id = request.transaction_id();
    let bytes = encode(request.clone())?;
    for patience in ATTEMPTS {
        // An ICMP error of an earlier attempt may be reported here: silence.
        if socket.send(&bytes).is_err() {
            continue;
        }
        let until = Instant::now() + patience;
        while let Some(answer) = receive(socket, until) {
            if answer.transaction_id() == id && answer.class() != MessageClass::Indication {
                return Ok(answer);
            }
        }
    }
    Err(Refusal::Silence)
}

/// The next STUN message before that time.
fn receive(socket: &UdpSocket, until: Instant) -> Option<Message<Attribute>> {
    let mut bytes = [0; 2048];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        socket.set_read_timeout(Some(left)).ok()?;
        let length = socket.recv(&mut bytes).ok()?;
        if let Ok(Ok(message)) =
            MessageDecoder::<Attribute>::new().decode_from_bytes(&bytes[..length])
        {
            return Some(message);
        }
    }
}
