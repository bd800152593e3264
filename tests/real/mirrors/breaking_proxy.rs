//! A proxy that breaks connections off in the middle.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

/// How many bytes pass before a connection is broken off, in each direction.
#[derive(Clone, Copy)]
pub(super) struct ByteLimits {
    pub(super) to_server: usize,
    pub(super) from_server: usize,
}

/// A proxy in front of a port of this host. It ends with the process.
pub(super) struct BreakingProxy {
    pub(super) port: u16,
    broken: Arc<AtomicUsize>,
}

impl BreakingProxy {
    /// Returns how many connections were broken off.
    pub(super) fn broken(&self) -> usize {
        self.broken.load(Ordering::SeqCst)
    }
}

/// Starts a proxy. A connection has the limit after those at which others have broken off; what stays
/// below it uses none up. Behind the last one nothing breaks.
pub(super) fn start(server: u16, limits: Vec<ByteLimits>) -> BreakingProxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broken = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&broken);
    thread::spawn(move || {
        let never = ByteLimits { to_server: usize::MAX, from_server: usize::MAX };
        for client in listener.incoming() {
            let client = client.unwrap();
            let limits = limits.get(counter.load(Ordering::SeqCst)).copied().unwrap_or(never);
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let counters = (Arc::clone(&counter), Arc::clone(&counter));
            thread::spawn(move || pass(client, server, limits.to_server, &counters.0));
            thread::spawn(move || pass(back.0, back.1, limits.from_server, &counters.1));
        }
    });
    BreakingProxy { port, broken }
}

/// Passes so many bytes on; then both sides see the end, and what is under way is lost.
fn pass(mut from: TcpStream, mut to: TcpStream, limit: usize, broken: &AtomicUsize) {
    let mut buffer = [0; 4096];
    let mut left = limit;
    while left > 0 {
        let most = buffer.len().min(left);
        match from.read(&mut buffer[..most]) {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).is_ok() => left -= count,
            Ok(_) | Err(_) => break,
        }
    }
    if left == 0 {
        broken.fetch_add(1, Ordering::SeqCst);
    }
    // The other side may have gone before.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

/// Limits that break the first connections ever later, mostly on the way to the server.
pub(super) fn growing(count: usize, first: usize, step: usize) -> Vec<ByteLimits> {
    let limits = (0..count).map(|n| first + n * step);
    limits.map(|limit| ByteLimits { to_server: limit, from_server: limit / 4 }).collect()
}
