//! A central store as `verify`, `central` and `mirror status` see it: logs, what they vouch for, and the
//! rows of their chains.

use std::ops::ControlFlow;

use crate::config::StoreAddress;
use crate::event::EventId;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::central::CentralError;
use crate::store::central::Dropping;
use crate::store::central::InitOptions;
use crate::store::central::LogKey;
use crate::store::central::MirroredLog;
use crate::store::central::OtherVersion;
use crate::store::central::ServerAccess;
use crate::store::central::StoreExamination;
use crate::store::central::StoredEvent;
use crate::store::central::SweepClaimRow;
use crate::store::central::SweptMonth;
use crate::store::central::TableNames;
use crate::store::central::clickhouse;
use crate::store::central::clickhouse::ClickHouseStore;
#[cfg(feature = "central")]
use crate::store::central::postgres;
#[cfg(feature = "central")]
use crate::store::central::postgres::PostgresStore;
use crate::store::verify::SweepGap;
use crate::time::Timestamp;

/// A connection to a central store.
pub(crate) enum FleetStore {
    #[cfg(feature = "central")]
    Postgres(Box<PostgresStore>),
    ClickHouse(Box<ClickHouseStore>),
}

/// Calls a method of the store, whatever its engine is.
macro_rules! on_engine {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            #[cfg(feature = "central")]
            Self::Postgres($store) => $call,
            Self::ClickHouse($store) => $call,
        }
    };
}

type FleetResult<T> = Result<T, CentralError>;

impl FleetStore {
    /// Returns a store, without a connection yet.
    ///
    /// # Errors
    /// [`Exit::Config`]: the address or a key of it is wrong.
    pub(crate) fn new(address: &StoreAddress, access: ServerAccess<'_>) -> Result<Self, Failure> {
        match address {
            #[cfg(feature = "central")]
            StoreAddress::Postgres(config) => {
                Ok(Self::Postgres(Box::new(PostgresStore::new(config, access)?)))
            }
            #[cfg(not(feature = "central"))]
            StoreAddress::Postgres(_) => Err(without_postgres()),
            StoreAddress::ClickHouse(config) => {
                Ok(Self::ClickHouse(Box::new(ClickHouseStore::new(config, access)?)))
            }
        }
    }

    /// Checks that the tables are there, in the version of this program.
    ///
    /// # Errors
    /// They are not, or there was no answer.
    pub(crate) fn check_tables(&mut self) -> FleetResult<()> {
        on_engine!(self, store => store.check_tables())
    }

    /// Says how the store is. Its tables must be there.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn examine(&mut self) -> FleetResult<StoreExamination> {
        on_engine!(self, store => store.examine())
    }

    /// Returns the logs that write to the store, in the order of their hosts.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn logs(&mut self) -> FleetResult<Vec<MirroredLog>> {
        on_engine!(self, store => store.logs())
    }

    /// Returns the ranges that a log has vouched for, in the order of their first ids.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn gaps(&mut self, log: LogKey) -> FleetResult<Vec<SweepGap>> {
        on_engine!(self, store => store.gaps(log))
    }

    /// Returns the ranges that central sweeps have dropped of a log, in the order of their ids.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn dropped(&mut self, log: LogKey) -> FleetResult<Vec<SweepGap>> {
        match self {
            #[cfg(feature = "central")]
            Self::Postgres(store) => store.dropped(log),
            // Months are dropped in PostgreSQL alone.
            Self::ClickHouse(_) => Ok(Vec::new()),
        }
    }

    /// Returns the events of which a log has sent other versions later.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn other_versions(&mut self, log: LogKey) -> FleetResult<Vec<OtherVersion>> {
        on_engine!(self, store => store.other_versions(log))
    }

    /// Returns the newest event of a log about a sweep of its own.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn newest_sweep(&mut self, log: LogKey) -> FleetResult<Option<SweepClaimRow>> {
        on_engine!(self, store => store.newest_sweep(log))
    }

    /// Visits the events of a log from one on, in the order of ids. An event may come more than once, one
    /// behind the other.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn walk(
        &mut self,
        log: LogKey,
        from: EventId,
        visit: &mut dyn FnMut(StoredEvent) -> ControlFlow<()>,
    ) -> FleetResult<()> {
        on_engine!(self, store => store.walk(log, from, visit))
    }

    /// Makes the tables and the coming months, and what else is asked for. What is there stays.
    ///
    /// # Errors
    /// The role may not make them; the tables are of a newer version; no answer.
    pub(crate) fn init(&mut self, options: InitOptions, now: Timestamp) -> FleetResult<()> {
        match self {
            #[cfg(feature = "central")]
            Self::Postgres(store) => store.init(options, now),
            Self::ClickHouse(store) => store.prepare_tables().map(drop),
        }
    }

    /// Drops the months that ended before a time and of which no log keeps anything; or only names them.
    ///
    /// # Errors
    /// The engine cannot do it; the role may not; no answer.
    pub(crate) fn sweep_months(
        &mut self,
        before: Timestamp,
        dropping: Dropping,
    ) -> Result<Vec<SweptMonth>, Failure> {
        match self {
            #[cfg(feature = "central")]
            Self::Postgres(store) => Ok(store.sweep_months(before, dropping)?),
            Self::ClickHouse(_) => {
                let message = "months of a store in ClickHouse are not swept by this program";
                let hint = "drop one by hand: ALTER TABLE event DROP PARTITION 202610";
                Err(Failure::new(Exit::Usage, message).hint(hint))
            }
        }
    }
}

/// Returns all that [`FleetStore::init`] does, as statements.
///
/// # Errors
/// [`Exit::Config`]: a key of the address is wrong.
pub(crate) fn init_statements(
    address: &StoreAddress,
    options: InitOptions,
    now: Timestamp,
) -> Result<String, Failure> {
    let names = |table: Option<&str>| {
        TableNames::parse(table).map_err(|why| Failure::new(Exit::Config, why))
    };
    match address {
        #[cfg(feature = "central")]
        StoreAddress::Postgres(config) => {
            Ok(postgres::init_statements(&names(config.table.as_deref())?, options, now))
        }
        #[cfg(not(feature = "central"))]
        StoreAddress::Postgres(_) => Err(without_postgres()),
        StoreAddress::ClickHouse(config) => {
            Ok(clickhouse::init_statements(&names(config.central.table.as_deref())?))
        }
    }
}

#[cfg(not(feature = "central"))]
fn without_postgres() -> Failure {
    Failure::new(Exit::Config, "this build cannot speak to PostgreSQL")
}
