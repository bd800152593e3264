//! The central store that this call names: verified, made, swept, and asked who is behind.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::access::Capability;
use crate::config::StoreAddress;
use crate::context::LogAccess;
use crate::doctor::store::ExaminedLog;
use crate::doctor::store::ExaminedStore;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::settings::LogLocation;
use crate::store::central;
use crate::store::central::Dropping;
use crate::store::central::FleetStore;
use crate::store::central::InitOptions;
use crate::store::central::MirroredLog;
use crate::store::central::ServerAccess;
use crate::store::central::SweptMonth;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::verify;
use crate::verify::FleetReport;
use crate::verify::verified_heads::VerifiedHeads;

/// How long a central store may take to answer one question.
const ANSWER_TIME: Duration = Duration::from_secs(300);
/// The largest file of verified heads, in bytes.
const MAX_HEADS_SIZE: u64 = 64 << 20;

impl LogAccess<'_> {
    /// Verifies every log of the store. With a file it goes on behind what that has, and writes it anew.
    ///
    /// # Errors
    /// As [`verify::fleet::run`]; the file cannot be read or written, or has a line without sense.
    pub(crate) fn verify_store(
        self,
        address: &StoreAddress,
        since: Option<&Path>,
    ) -> Result<FleetReport> {
        let context = self.context;
        context.settings.permissions.require_administrator("verify")?;
        let before = since.map(|file| self.read_verified_heads(file)).transpose()?;
        let before = before.unwrap_or_default();
        let access = self.server_access();
        let connect = || FleetStore::new(address, access);
        let report = verify::fleet::run(&connect, &before, context.now)?;
        if let Some(file) = since {
            context.write_file(file, report.verified_heads(&before).to_text().as_bytes())?;
        }
        Ok(report)
    }

    /// Reads what an earlier run has verified; nothing where the file is not there yet.
    fn read_verified_heads(self, file: &Path) -> Result<VerifiedHeads> {
        let name = text::escape_bytes(file.as_os_str().as_encoded_bytes());
        let mut text = String::new();
        let opened = {
            let _assumed = self.context.settings.rights.assume()?;
            File::open(file)
        };
        match opened {
            Ok(opened) => {
                let read = opened.take(MAX_HEADS_SIZE).read_to_string(&mut text);
                read.with_context(|| Failure::new(Exit::NoInput, format!("cannot read {name}")))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let failure = Failure::new(Exit::NoInput, format!("cannot read {name}"));
                return Err(error).context(failure);
            }
        }
        VerifiedHeads::parse(&text).map_err(|line| {
            let message = format!("{name}:{line}: not UUID ID:HASH");
            let hint = "`activity verify --since-verified` writes such lines";
            Failure::new(Exit::Data, message).hint(hint).into()
        })
    }

    /// Returns the logs that write to the store, with their names.
    ///
    /// # Errors
    /// The store is away, has no tables, or those of a newer version.
    pub(crate) fn mirrored_logs(
        self,
        address: &StoreAddress,
    ) -> Result<Vec<(String, MirroredLog)>> {
        self.context.settings.permissions.require_administrator("mirror status")?;
        let mut store = FleetStore::new(address, self.server_access())?;
        store.check_tables()?;
        let logs = store.logs()?;
        Ok(central::log_names_of(&logs).into_iter().zip(logs).collect())
    }

    /// Asks a store how it is, and which logs write to it.
    ///
    /// # Errors
    /// The store is away, has no tables, or those of a newer version.
    pub(super) fn examine_store(self, address: &StoreAddress) -> Result<ExaminedStore> {
        let mut store = FleetStore::new(address, self.server_access())?;
        store.check_tables()?;
        let examination = store.examine()?;
        let answered_at = Timestamp::now();
        let found = store.logs()?;
        let names = central::log_names_of(&found);
        let mut logs = Vec::new();
        for (name, log) in names.into_iter().zip(found) {
            let changed = store.other_versions(log.key)?.len() as u64;
            logs.push(ExaminedLog { name, log, changed });
        }
        Ok(ExaminedStore { examination, logs, answered_at })
    }

    /// Makes the tables and months of the store, and what else is asked for.
    ///
    /// # Errors
    /// As [`FleetStore::init`].
    pub(crate) fn init_store(self, options: InitOptions) -> Result<()> {
        self.context.settings.permissions.require_administrator("central")?;
        let mut store = FleetStore::new(&self.store_address()?, self.server_access())?;
        Ok(store.init(options, self.context.now)?)
    }

    /// Returns what [`LogAccess::init_store`] does, as statements.
    ///
    /// # Errors
    /// Nothing names a store.
    pub(crate) fn store_statements(self, options: InitOptions) -> Result<String> {
        self.context.settings.permissions.require_administrator("central")?;
        let address = self.store_address()?;
        Ok(central::init_statements(&address, options, self.context.now)?)
    }

    /// Drops the months of the store that ended so long ago and of which no host keeps anything, or only
    /// says which.
    ///
    /// # Errors
    /// As [`FleetStore::sweep_months`].
    pub(crate) fn sweep_store(self, keep: Span, dropping: Dropping) -> Result<Vec<SweptMonth>> {
        self.context.settings.permissions.require(Capability::Sweep)?;
        let mut store = FleetStore::new(&self.store_address()?, self.server_access())?;
        store.check_tables()?;
        Ok(store.sweep_months(self.context.now.saturating_sub(keep), dropping)?)
    }

    /// Returns the address of the store: that of the call, else that of the config, else that of its one
    /// mirror to a store.
    fn store_address(self) -> Result<StoreAddress> {
        let settings = &self.context.settings;
        if let LogLocation::Store(address) = settings.location()? {
            return Ok(address);
        }
        let mirrors = &settings.config.mirrors;
        if let Some(address) =
            settings.config.central.as_deref().and_then(|url| StoreAddress::parse(url, mirrors))
        {
            return Ok(address);
        }
        let mut of_mirrors =
            mirrors.iter().filter_map(|mirror| StoreAddress::of_destination(&mirror.destination));
        match (of_mirrors.next(), of_mirrors.next()) {
            (Some(address), None) => Ok(address),
            (_, _) => {
                let message = "nothing names the central store";
                let hint = "name it: --db postgres://USER@HOST/DATABASE, or central in the config";
                Err(Failure::new(Exit::Usage, message).hint(hint).into())
            }
        }
    }

    fn server_access(&self) -> ServerAccess<'_> {
        ServerAccess {
            environment: &self.context.settings.environment,
            trusted_uid: self.context.caller.real.uid,
            timeout: ANSWER_TIME,
        }
    }
}
