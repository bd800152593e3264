//! A service that takes requests by HTTP, and fails as a test says.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread;

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The request is answered.
    Taken,
    /// Nobody reads or answers.
    Silence,
    /// The connection is reset while the request is under way.
    Reset,
    /// The request is refused with this status and these further headers, unread by the service.
    Status(&'static str),
    /// The request is taken, and its answer never comes.
    AnswerLost,
}

/// Such a service on this host. It ends with the process.
pub(crate) struct HttpReceiver {
    pub(crate) address: SocketAddr,
}

impl HttpReceiver {
    /// Starts a service: the first connections have these fates, all later ones are taken. `answer`
    /// gets the body of each request that is taken, and returns the status.
    pub(crate) fn start(
        fates: &'static [Fate],
        answer: impl FnMut(&str) -> &'static str + Send + 'static,
    ) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), fates, answer)
    }

    /// As [`HttpReceiver::start`], on a port that is open already.
    pub(crate) fn start_on(
        listener: TcpListener,
        fates: &'static [Fate],
        mut answer: impl FnMut(&str) -> &'static str + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let mut fates = fates.iter().copied();
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                match fates.next().unwrap_or(Fate::Taken) {
                    Fate::Silence => held.push(stream),
                    Fate::Reset => {
                        // What is unread when a connection is closed resets it.
                        stream.read_exact(&mut [0]).unwrap();
                    }
                    Fate::Status(status) => {
                        if read_body(&stream).is_some() {
                            reply(&mut stream, status);
                        }
                    }
                    Fate::AnswerLost => drop(read_body(&stream).map(|body| answer(&body))),
                    Fate::Taken => {
                        if let Some(body) = read_body(&stream) {
                            reply(&mut stream, answer(&body));
                        }
                    }
                }
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Reads a request, and returns its body; `None` where the sender has gone before its end.
fn read_body(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None if line.is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(String::from_utf8(body).unwrap())
}

fn reply(stream: &mut TcpStream, status: &str) {
    // CloudWatch says by this, and not by the status, that the events are at fault.
    let is_refused = status.starts_with("400");
    let body = if is_refused { r#"{"__type":"InvalidParameterException"}"# } else { "{}" };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    // Who has gone meanwhile gets no answer.
    drop(stream.write_all(head.as_bytes()));
}
