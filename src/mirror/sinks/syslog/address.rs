//! The address of a syslog receiver: `unix:/dev/log`, `udp://HOST:PORT`, `tcp://`, `tls://`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::net::UdpSocket;
use std::path::PathBuf;

use crate::text;

/// The usual port (RFC 5426), and that of TLS (RFC 5425).
const PORT: u16 = 514;
const TLS_PORT: u16 = 6514;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SyslogAddress {
    Unix(PathBuf),
    Udp(HostPort),
    Tcp(HostPort),
    Tls(HostPort),
}

/// A host by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    pub host: String,
    port: u16,
}

impl SyslogAddress {
    /// # Errors
    /// One line that begins with the key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("address: \"{}\" {why}", text::escape(text));
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(wrong("has no whole path"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let parse = |rest: &str, port| {
            HostPort::parse(rest, port).ok_or_else(|| wrong("is no host with a port"))
        };
        if let Some(rest) = text.strip_prefix("udp://") {
            parse(rest, PORT).map(Self::Udp)
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            parse(rest, PORT).map(Self::Tcp)
        } else if let Some(rest) = text.strip_prefix("tls://") {
            parse(rest, TLS_PORT).map(Self::Tls)
        } else {
            Err(wrong("begins with none of unix:, udp://, tcp:// and tls://"))
        }
    }
}

impl HostPort {
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(is_name) {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => default_port,
        };
        Some(Self { host: host.to_owned(), port })
    }

    /// Looks the host up.
    ///
    /// # Errors
    /// It is not found.
    pub(super) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|_| io::Error::other("host not found"))?
            .collect();
        if found.is_empty() {
            return Err(io::Error::other("host not found"));
        }
        Ok(found)
    }

    /// Returns a socket that sends to this host.
    pub(super) fn udp_socket(&self) -> io::Result<UdpSocket> {
        let addresses = self.resolve()?;
        let mut failed = io::Error::other("host not found");
        for address in addresses {
            let local = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            match UdpSocket::bind(local).and_then(|socket| socket.connect(address).map(|()| socket))
            {
                Ok(socket) => return Ok(socket),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_kind_a_host_and_a_port() {
        let host = |host: &str, port| HostPort { host: host.to_owned(), port };
        for (text, address) in [
            ("unix:/dev/log", SyslogAddress::Unix("/dev/log".into())),
            ("unix:///dev/log", SyslogAddress::Unix("/dev/log".into())),
            ("udp://logs.example.org", SyslogAddress::Udp(host("logs.example.org", 514))),
            ("tcp://127.0.0.1:601/", SyslogAddress::Tcp(host("127.0.0.1", 601))),
            ("tls://logs.example.org", SyslogAddress::Tls(host("logs.example.org", 6514))),
            ("tls://[::1]:10514", SyslogAddress::Tls(host("::1", 10_514))),
            ("tls://[::1]", SyslogAddress::Tls(host("::1", 6514))),
        ] {
            assert_eq!(SyslogAddress::parse(text), Ok(address), "{text}");
        }
        for bad in [
            "",
            "logs.example.org",
            "unix:",
            "unix:log",
            "udp://",
            "tcp://:514",
            "tcp://x:0",
            "tcp://x:70000",
            "tcp://x:y",
            "tls://u:p@x:1",
            "tls://x/path",
            "tls://[::1",
            "tls://[x]:1",
            "tls://::1",
            "http://x",
            "tcp://x y",
        ] {
            let error = SyslogAddress::parse(bad).unwrap_err();
            assert!(error.starts_with("address: \""), "{error}");
        }
    }
}
