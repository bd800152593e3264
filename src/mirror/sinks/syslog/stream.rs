//! A connection that must end in time, plain or with TLS, and whose end the receiver confirms.

use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::mirror::sinks::syslog::address::HostPort;
use crate::tls::ClientConfig;
use crate::tls::ClientConnection;
use crate::tls::ServerName;
use crate::tls::StreamOwned;

/// A connection with a time at which it must have done its work.
pub(super) struct DeadlineStream {
    stream: TcpStream,
    deadline: Instant,
}

/// A receiver that is reached by TLS.
pub(super) struct TlsPeer {
    peer: HostPort,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl DeadlineStream {
    pub(super) fn connect(peer: &HostPort, deadline: Instant) -> io::Result<Self> {
        let mut failed = io::Error::other("host not found");
        for address in peer.resolve()? {
            match TcpStream::connect_timeout(&address, time_left(deadline)?) {
                Ok(stream) => return Ok(Self { stream, deadline }),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Sends all, ends the stream, and waits for the receiver to end its side.
    ///
    /// A receiver that is killed when it has read all and written some ends its side as one that is done.
    /// Only one that lives takes another connection and ends that too; the system may still take one, but
    /// resets it.
    pub(super) fn send_and_end(&mut self, bytes: &[u8]) -> io::Result<()> {
        let receiver = self.stream.peer_addr()?;
        self.write_all(bytes)?;
        self.stream.shutdown(Shutdown::Write)?;
        read_to_end(self)?;
        self.look_again(receiver)
            .map_err(|_| io::Error::other("the receiver is gone, and may not have written all"))
    }

    /// Makes a connection without a message, and waits for the receiver to end it.
    fn look_again(&self, receiver: SocketAddr) -> io::Result<()> {
        let stream = TcpStream::connect_timeout(&receiver, time_left(self.deadline)?)?;
        stream.shutdown(Shutdown::Write)?;
        read_to_end(&mut Self { stream, deadline: self.deadline })
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(time_left(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(time_left(self.deadline)?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl TlsPeer {
    /// # Errors
    /// No certificate can be for such a host.
    pub(super) fn new(peer: HostPort, config: Arc<ClientConfig>) -> Result<Self, String> {
        let name = ServerName::try_from(peer.host.clone())
            .map_err(|_| format!("address: no certificate can be for {peer}"))?;
        Ok(Self { peer, name, config })
    }

    /// Sends all, ends the stream, and waits for the receiver to end its side.
    ///
    /// The receiver must say that it ends (RFC 5425, section 4.4): anybody on the way can end a
    /// connection of TCP.
    pub(super) fn send_and_end(&self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let socket = DeadlineStream::connect(&self.peer, deadline)?;
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(bytes)?;
        stream.flush()?;
        stream.conn.send_close_notify();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut stream.sock)?;
        }
        read_to_end(&mut stream)
    }
}

impl fmt::Display for TlsPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)
    }
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Reads on until the receiver has ended its side; what it may say meanwhile means nothing in syslog.
fn read_to_end(stream: &mut impl Read) -> io::Result<()> {
    let mut buffer = [0; 512];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
            {
                return Err(io::Error::other("the receiver did not confirm the end of the stream"));
            }
            Err(error) => return Err(error),
        }
    }
}
