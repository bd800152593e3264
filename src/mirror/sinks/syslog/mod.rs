//! `type = "syslog"`: RFC 5424 over a unix socket, UDP, TCP or TLS.
//!
//! Syslog has no answers. Over TCP and TLS each batch has a connection of its own, which is ended after
//! the last message; the receiver closes it when it has read all. Only then the batch counts as
//! delivered: a receiver that was killed with messages unread resets the connection instead, and one that
//! was killed with messages unwritten does not end another connection, without a message, as well. Over
//! UDP messages may be lost, and only a host that refuses them is noticed.

mod address;
mod message;
mod stream;

use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::io::Errno;

use crate::config::mirror::SyslogConfig;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::syslog::address::HostPort;
use crate::mirror::sinks::syslog::address::SyslogAddress;
use crate::mirror::sinks::syslog::message::MessageFormat;
use crate::mirror::sinks::syslog::stream::DeadlineStream;
use crate::mirror::sinks::syslog::stream::TlsPeer;
use crate::text;
use crate::tls;

const DEFAULT_BATCH: usize = 5000;
/// Over UDP nothing says what was lost, so less is sent again when a host refuses.
const DATAGRAM_BATCH: usize = 500;
const DEFAULT_APP: &str = "activity";
const DEFAULT_FACILITY: &str = "user";
/// How many datagrams go out at once, and the pause after them: a receiver has room for some hundred.
const DATAGRAM_BURST: usize = 20;
const DATAGRAM_PAUSE: Duration = Duration::from_millis(5);
/// The time in which a host that takes no datagrams says so.
const REFUSAL_WAIT: Duration = Duration::from_millis(50);

/// How messages are told apart in a stream (RFC 6587).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Their length in front.
    Octets,
    /// A line feed behind.
    Lines,
}

pub(super) struct SyslogSink {
    messages: MessageBuffer,
    destination: SyslogDestination,
    timeout: Duration,
}

/// Writes the messages of a batch.
struct MessageBuffer {
    format: MessageFormat,
    bytes: String,
}

enum SyslogDestination {
    Unix(std::path::PathBuf),
    Udp(HostPort),
    Tcp(HostPort, Framing),
    Tls(Box<TlsPeer>, Framing),
}

impl SyslogSink {
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(super) fn new(config: &SyslogConfig, context: SinkContext<'_>) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(Exit::Config, why);
        let format = MessageFormat::new(
            config.facility.as_deref().unwrap_or(DEFAULT_FACILITY),
            context.host,
            config.app.as_deref().unwrap_or(DEFAULT_APP),
            config.sd.as_deref(),
        )
        .map_err(wrong)?;
        let address = SyslogAddress::parse(&config.address).map_err(wrong)?;
        let framing = match config.framing.as_deref() {
            Some("lines") => Framing::Lines,
            Some(_) | None => Framing::Octets,
        };
        let is_stream = matches!(address, SyslogAddress::Tcp(_) | SyslogAddress::Tls(_));
        if config.framing.is_some() && !is_stream {
            return Err(wrong("framing: only tcp:// and tls:// have one".to_owned()));
        }
        if config.ca_file.is_some() && !matches!(address, SyslogAddress::Tls(_)) {
            return Err(wrong("ca_file: only tls:// has authorities".to_owned()));
        }
        let destination = match address {
            SyslogAddress::Unix(path) => SyslogDestination::Unix(path),
            SyslogAddress::Udp(peer) => SyslogDestination::Udp(peer),
            SyslogAddress::Tcp(peer) => SyslogDestination::Tcp(peer, framing),
            SyslogAddress::Tls(peer) => {
                let authorities =
                    config.ca_file.as_deref().map(tls::read_authorities).transpose()?;
                let config = Arc::new(tls::client_config(authorities.as_ref())?);
                let peer = TlsPeer::new(peer, config).map_err(wrong)?;
                SyslogDestination::Tls(Box::new(peer), framing)
            }
        };
        let messages = MessageBuffer { format, bytes: String::new() };
        Ok(Self { messages, destination, timeout: context.timeout })
    }
}

impl MessageBuffer {
    /// Writes one message.
    fn message(&mut self, outgoing: &OutgoingEvent) -> &[u8] {
        self.bytes.clear();
        self.format.write(&outgoing.event, &outgoing.identifier, &mut self.bytes);
        self.bytes.as_bytes()
    }

    /// Writes the messages of a batch, each in its frame.
    fn frames(&mut self, batch: &[OutgoingEvent], framing: Framing) -> &[u8] {
        let mut message = String::new();
        self.bytes.clear();
        for outgoing in batch {
            message.clear();
            self.format.write(&outgoing.event, &outgoing.identifier, &mut message);
            match framing {
                Framing::Octets => {
                    self.bytes.push_str(&message.len().to_string());
                    self.bytes.push(' ');
                    self.bytes.push_str(&message);
                }
                Framing::Lines => {
                    self.bytes.push_str(&message);
                    self.bytes.push('\n');
                }
            }
        }
        self.bytes.as_bytes()
    }

    /// Sends each message as a datagram. One that is too long for a datagram is refused.
    fn send_each(
        &mut self,
        batch: &[OutgoingEvent],
        name: &str,
        pause: Duration,
        send: impl Fn(&[u8]) -> io::Result<usize>,
    ) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let mut refused = Vec::new();
        for (index, outgoing) in batch.iter().enumerate() {
            let message = self.message(outgoing);
            match send(message) {
                Ok(_) => {}
                Err(error) if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) => {
                    let reason = format!("{} bytes are too long for a datagram", message.len());
                    refused.push(RefusedEvent { index, reason, status: None });
                }
                Err(error) => return Err(unavailable(name, &error).after(index, &refused)),
            }
            if (index + 1) % DATAGRAM_BURST == 0 && !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        Ok(refused)
    }
}

impl Sink for SyslogSink {
    fn default_batch(&self) -> usize {
        match self.destination {
            SyslogDestination::Unix(_) | SyslogDestination::Udp(_) => DATAGRAM_BATCH,
            SyslogDestination::Tcp(..) | SyslogDestination::Tls(..) => DEFAULT_BATCH,
        }
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let Self { messages, destination, timeout } = self;
        let deadline = Instant::now() + *timeout;
        match destination {
            SyslogDestination::Unix(path) => send_to_unix(messages, path, *timeout, batch),
            SyslogDestination::Udp(peer) => send_over_udp(messages, peer, batch),
            SyslogDestination::Tcp(peer, framing) => {
                let frames = messages.frames(batch, *framing);
                let sent = DeadlineStream::connect(peer, deadline)
                    .and_then(|mut stream| stream.send_and_end(frames));
                sent.map_err(|error| unavailable(&peer.to_string(), &error))?;
                Ok(Vec::new())
            }
            SyslogDestination::Tls(peer, framing) => {
                let frames = messages.frames(batch, *framing);
                let sent = peer.send_and_end(frames, deadline);
                sent.map_err(|error| unavailable(&peer.to_string(), &error))?;
                Ok(Vec::new())
            }
        }
    }
}

fn send_to_unix(
    messages: &mut MessageBuffer,
    path: &Path,
    timeout: Duration,
    batch: &[OutgoingEvent],
) -> Result<Vec<RefusedEvent>, SinkFailure> {
    let name = text::escape_bytes(path.as_os_str().as_encoded_bytes());
    let connect = || {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(timeout))?;
        socket.connect(path)?;
        Ok(socket)
    };
    let socket = connect().map_err(|error: io::Error| unavailable(&name, &error))?;
    // Such a socket makes the sender wait instead of losing a message.
    messages.send_each(batch, &name, Duration::ZERO, |message| socket.send(message))
}

fn send_over_udp(
    messages: &mut MessageBuffer,
    peer: &HostPort,
    batch: &[OutgoingEvent],
) -> Result<Vec<RefusedEvent>, SinkFailure> {
    let name = peer.to_string();
    let socket = peer.udp_socket().map_err(|error| unavailable(&name, &error))?;
    let refused =
        messages.send_each(batch, &name, DATAGRAM_PAUSE, |message| socket.send(message))?;
    // Nobody knows which of the messages arrived before.
    await_refusal(&socket).map_err(|error| unavailable(&name, &error))?;
    Ok(refused)
}

/// Waits a moment for the answer of a host that takes no datagrams on this port.
fn await_refusal(socket: &UdpSocket) -> io::Result<()> {
    socket.set_read_timeout(Some(REFUSAL_WAIT))?;
    match socket.recv(&mut [0]) {
        Ok(_) => Ok(()),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn unavailable(name: &str, error: &io::Error) -> SinkFailure {
    let reason = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timed out".to_owned(),
        _ => failure::os_error_message(error),
    };
    SinkFailure::unavailable(format!("{}: {}", text::escape(name), text::escape(&reason)))
}
