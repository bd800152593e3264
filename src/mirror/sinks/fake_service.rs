//! A service for the tests of the sinks: it answers each request as a function of the test says, and
//! keeps what it was sent. Such a function enforces the limits that the real service documents.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::event::Event;
use crate::event::EventId;
use crate::lent_rights::FileRights;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::SinkContext;
use crate::query::samples::full_event;
use crate::settings::Environment;
use crate::time::Timestamp;
use crate::time::Zone;

/// A request as the service got it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReceivedRequest {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn read(stream: &TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut request = Self { path, headers, body: Vec::new() };
        let length = request.header("content-length").unwrap().parse().unwrap();
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).unwrap();
        request
    }
}

/// An answer: the status with further headers, each behind a line end, and the body.
pub(super) type Reply = (&'static str, String);

pub(super) fn reply(head: &'static str, body: &str) -> Reply {
    (head, body.to_owned())
}

pub(super) struct FakeService {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl FakeService {
    /// Starts a service; `answer` gets each request with its number, from 0 on.
    pub(super) fn start(
        answer: impl Fn(usize, &ReceivedRequest) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<ReceivedRequest>>>::default();
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = ReceivedRequest::read(&stream);
                let number = kept.lock().unwrap().len();
                let (head, body) = answer(number, &request);
                kept.lock().unwrap().push(request);
                let length = body.len();
                let reply = format!(
                    "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        Self { address, requests }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().unwrap().clone()
    }
}

/// The time at which the sinks of the tests begin: 2026-11-20T12:00:00Z.
pub(super) const BEGUN_AT: Timestamp = Timestamp::from_nanos(1_795_176_000_000_000_000);

/// Calls a function with the context of a run.
pub(super) fn with_context<T>(
    environment: &Environment,
    make: impl FnOnce(SinkContext<'_>) -> T,
) -> T {
    make(SinkContext {
        environment,
        trusted_uid: rustix::process::getuid().as_raw(),
        rights: &FileRights::Program,
        zone: &Zone::utc(),
        host: "web3",
        log: Path::new("/var/lib/activity/activity.db"),
        clock: || BEGUN_AT,
        timeout: Duration::from_secs(10),
    })
}

/// Events with these ids.
pub(super) fn outgoing(ids: impl IntoIterator<Item = i64>) -> Vec<OutgoingEvent> {
    let event = |id: i64| OutgoingEvent {
        event: Event { id: EventId(id), event_id: format!("e-{id}"), ..full_event() },
        identifier: Arc::from("s2l.online"),
        seal: None,
    };
    ids.into_iter().map(event).collect()
}
