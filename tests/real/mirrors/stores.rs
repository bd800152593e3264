//! One log mirrored to every engine of a central store at once.

use crate::mirrors::clickhouse;
use crate::mirrors::clickhouse::ClickHouse;
use crate::mirrors::clickhouse::EmbeddedClickHouse;
use crate::mirrors::postgres::Cluster;
use crate::support::Sandbox;

/// A store: how messages of tests name its engine, and the address that reads it.
pub(crate) struct StoreOfTest {
    pub(crate) engine: &'static str,
    pub(crate) url: String,
}

/// The servers of this host; one that is missing is left out, and under CI fails the test.
pub(crate) struct Stores {
    pub(crate) cluster: Option<Cluster>,
    debian: Option<ClickHouse>,
    today: Option<EmbeddedClickHouse>,
}

impl Stores {
    /// Returns `None` where there is none.
    pub(crate) fn start() -> Option<Self> {
        let stores = Self {
            cluster: Cluster::start(),
            debian: ClickHouse::start(),
            today: EmbeddedClickHouse::start(),
        };
        (!stores.all().is_empty()).then_some(stores)
    }

    pub(crate) fn all(&self) -> Vec<StoreOfTest> {
        let postgres = self.cluster.as_ref().map(Cluster::url);
        let [debian, today] = self.ports().map(|port| {
            let url = |port| format!("clickhouse+http://127.0.0.1:{port}/");
            port.map(url)
        });
        let stores = [
            ("PostgreSQL", postgres),
            ("ClickHouse 18.16", debian),
            ("ClickHouse of today", today),
        ];
        let started = stores.into_iter().filter_map(|(engine, url)| {
            let url = url?;
            Some(StoreOfTest { engine, url })
        });
        started.collect()
    }

    fn ports(&self) -> [Option<u16>; 2] {
        let debian = self.debian.as_ref().map(|server| server.port);
        [debian, self.today.as_ref().map(|server| server.port)]
    }

    /// The mirrors of a host to all of them.
    pub(crate) fn config(&self, sandbox: &Sandbox) -> String {
        let postgres = self.cluster.iter().map(|cluster| cluster.config(sandbox, ""));
        let ports = self.ports().into_iter().flatten();
        let others = ports.map(|port| clickhouse::config(sandbox, port, ""));
        let named = postgres.chain(others).enumerate().map(|(number, config)| {
            config.replace("name = 'central'", &format!("name = 'central-{number}'"))
        });
        named.collect()
    }
}
