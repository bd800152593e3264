//! Servers for the tests of the transports. A test prepares their answers.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The reaction of a server to a request or a mail.
#[derive(Clone, Debug)]
pub(super) enum FakeReply {
    Text(String),
    /// The text, and the connection stays open.
    Partial(String),
    /// The connection is closed, orderly.
    Close,
    /// The connection is reset, the request unread.
    Reset,
    /// Nothing, and the connection stays open.
    Hang,
}

impl FakeReply {
    /// An answer with a status line, headers and an empty body.
    pub(super) fn status(head: &str) -> Self {
        Self::Text(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
    }

    pub(super) fn json(status: &str, body: &str) -> Self {
        let length = body.len();
        Self::Text(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RecordedRequest {
    pub head: String,
    pub body: Vec<u8>,
}

/// Takes one connection per reply, in their order.
pub(super) struct FakeHttpServer {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl FakeHttpServer {
    pub(super) fn start(replies: Vec<FakeReply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<RecordedRequest>>>::default();
        let taken = Arc::clone(&requests);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let request = peek_request(&stream);
                let length = request.head.len() + 4 + request.body.len();
                taken.lock().unwrap().push(request);
                if matches!(reply, FakeReply::Reset) {
                    // What is unread when a connection is closed resets it.
                    continue;
                }
                stream.read_exact(&mut vec![0; length]).unwrap();
                match reply {
                    FakeReply::Text(text) => stream.write_all(text.as_bytes()).unwrap(),
                    FakeReply::Partial(text) => {
                        stream.write_all(text.as_bytes()).unwrap();
                        kept.push(stream);
                    }
                    FakeReply::Hang => kept.push(stream),
                    FakeReply::Close | FakeReply::Reset => {}
                }
            }
            // The open connections stay so until the listener is gone, with the whole process.
            drop(listener.accept());
        });
        Self { address, requests }
    }

    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }
}

/// Waits for a whole request without taking it out of the socket.
fn peek_request(stream: &TcpStream) -> RecordedRequest {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = stream.peek(&mut buffer).unwrap();
        let Some(end) = buffer[..length].windows(4).position(|four| four == b"\r\n\r\n") else {
            assert!(length > 0, "the client left");
            thread::yield_now();
            continue;
        };
        let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
        let expected: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            })
            .expect("the request says how long it is");
        if length >= end + 4 + expected {
            return RecordedRequest { head, body: buffer[end + 4..end + 4 + expected].to_vec() };
        }
        thread::yield_now();
    }
}

/// One connection of an SMTP server: what it answers to whom.
#[derive(Clone)]
pub(super) struct SmtpScript {
    pub greeting: FakeReply,
    pub hello: &'static str,
    pub auth: &'static str,
    pub rcpt: fn(&str) -> &'static str,
    pub message: FakeReply,
}

impl Default for SmtpScript {
    fn default() -> Self {
        Self {
            greeting: FakeReply::Text("220 mail.example.org ESMTP\r\n".to_owned()),
            hello: "250-mail.example.org\r\n250 8BITMIME\r\n",
            auth: "235 2.7.0 good\r\n",
            rcpt: |_| "250 2.1.5 Ok\r\n",
            message: FakeReply::Text("250 2.0.0 Ok: queued as 4XYZ\r\n".to_owned()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RecordedSession {
    pub commands: Vec<String>,
    pub message: String,
}

pub(super) struct FakeSmtpServer {
    pub address: SocketAddr,
    sessions: Arc<Mutex<Vec<RecordedSession>>>,
}

impl FakeSmtpServer {
    pub(super) fn start(dialogues: Vec<SmtpScript>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let talked = Arc::<Mutex<Vec<RecordedSession>>>::default();
        let kept = Arc::clone(&talked);
        thread::spawn(move || {
            let mut open = Vec::new();
            for dialogue in dialogues {
                let (stream, _) = listener.accept().unwrap();
                kept.lock().unwrap().push(RecordedSession::default());
                open.extend(run_script(stream, &dialogue, &kept));
            }
            drop(listener.accept());
        });
        Self { address, sessions: talked }
    }

    pub(super) fn sessions(&self) -> Vec<RecordedSession> {
        self.sessions.lock().unwrap().clone()
    }
}

/// Returns the connection if it is to stay open.
fn run_script(
    stream: TcpStream,
    dialogue: &SmtpScript,
    talked: &Mutex<Vec<RecordedSession>>,
) -> Option<TcpStream> {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    match &dialogue.greeting {
        FakeReply::Text(text) => stream.write_all(text.as_bytes()).unwrap(),
        FakeReply::Partial(text) => {
            drip(&mut stream, text);
            return None;
        }
        FakeReply::Hang => return Some(stream),
        FakeReply::Close | FakeReply::Reset => return None,
    }
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).unwrap_or_default() == 0 {
            return None;
        }
        talked.lock().unwrap().last_mut().unwrap().commands.push(line.trim_end().to_owned());
        let answer = match line.split([' ', '\r']).next().unwrap() {
            "EHLO" => dialogue.hello,
            "AUTH" => dialogue.auth,
            "RCPT" => (dialogue.rcpt)(line.trim_end()),
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 Ok\r\n",
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return None;
        }
        if line.starts_with("DATA") {
            let mut letter = String::new();
            while !letter.ends_with("\r\n.\r\n") {
                assert!(lines.read_line(&mut letter).unwrap() > 0, "the letter is cut off");
            }
            talked.lock().unwrap().last_mut().unwrap().message = letter;
            match &dialogue.message {
                FakeReply::Text(text) => stream.write_all(text.as_bytes()).unwrap(),
                FakeReply::Hang => return Some(stream),
                FakeReply::Partial(_) | FakeReply::Close | FakeReply::Reset => return None,
            }
        }
    }
}

/// Sends a byte now and then until the other side has had enough.
fn drip(stream: &mut TcpStream, text: &str) {
    let (_open, pace) = channel::<()>();
    for byte in text.bytes().cycle() {
        let waited = pace.recv_timeout(Duration::from_millis(50));
        if waited != Err(RecvTimeoutError::Timeout) || stream.write_all(&[byte]).is_err() {
            return;
        }
    }
}
