//! The mirrors and alerts of the config, run on behalf of the caller.

use std::sync::Arc;

use anyhow::Result;

use crate::access::Capability;
use crate::config::mirror::AlertConfig;
use crate::config::mirror::MirrorConfig;
use crate::context::Context;
use crate::context::LogAccess;
use crate::digest::deliver::Mailbox;
use crate::event::Action;
use crate::event::Event;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::mirror::alert;
use crate::mirror::alert::AlertPreview;
use crate::mirror::alert::silence;
use crate::mirror::feed::Feed;
use crate::mirror::resend;
use crate::mirror::resend::ResendSummary;
use crate::mirror::run;
use crate::mirror::run::MirrorResult;
use crate::mirror::run::RunContext;
use crate::mirror::sink::SinkContext;
use crate::mirror::status;
use crate::mirror::status::MirrorStatus;
use crate::query::Query;
use crate::store::Create;
use crate::store::LocalLog;
use crate::store::Log;
use crate::text;
use crate::time::Timestamp;
use crate::time::Zone;

/// The action of the event that tests a destination. It is not in the log.
const TEST_ACTION: &str = "mirror.test";

/// How long a run of all mirrors goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunLength {
    /// Until what is there is delivered.
    Once,
    /// Until a signal comes.
    Endless,
}

impl<'a> LogAccess<'a> {
    /// Delivers what is new to every enabled mirror and alert. Those that cannot be made are told as
    /// errors, and do not keep the others from running.
    ///
    /// # Errors
    /// The log cannot be opened; the zone is wrong.
    pub(crate) fn run_mirrors(
        self,
        length: RunLength,
        interrupt: &Interrupt,
        report: &mut dyn FnMut(MirrorResult),
    ) -> Result<()> {
        let context = self.context;
        context.settings.permissions.require(Capability::Mirror)?;
        let run_context = self.run_context(interrupt)?;
        // Errors of the log are told once, and not by each mirror.
        for warning in LocalLog::open_to_write(&run_context.log, Create::Never)?.warnings() {
            context.output.warn(warning);
        }
        let zone = context.zone()?;
        let made = context.feeds(&run_context, &zone);
        let (feeds, errors): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        errors.into_iter().filter_map(Result::err).for_each(|error| report(Err(error)));
        let feeds = feeds.into_iter().filter_map(Result::ok).collect();
        match length {
            RunLength::Once => run::run_once(feeds, &run_context, report),
            RunLength::Endless => run::follow(feeds, &run_context, report),
        }
        Ok(())
    }

    /// Delivers to the mirrors that are to get events right after an ingest, and waits for each no
    /// longer than its time-out. What cannot be delivered is left to the next run.
    pub(crate) fn run_direct_mirrors(self) {
        let context = self.context;
        let mirrors = &context.settings.config.mirrors;
        if !mirrors.iter().any(is_direct) {
            return;
        }
        let made = || -> Result<_> {
            let run_context = self.run_context(&Interrupt::default())?;
            let zone = context.zone()?;
            let site = context.settings.site();
            let sinks = context.sink_context(&run_context, &zone);
            let feeds = mirrors.iter().filter(|mirror| is_direct(mirror));
            // The events are in the log, and a config that is wrong is told by the next run.
            let feeds = feeds.filter_map(|mirror| Feed::of_mirror(mirror, &site, sinks).ok());
            Ok((feeds.collect::<Vec<_>>(), run_context))
        };
        if let Ok((feeds, run_context)) = made() {
            run::deliver_directly(feeds, &run_context);
        }
    }

    /// Returns how each mirror and alert fares.
    ///
    /// # Errors
    /// The log cannot be read; a query of the config is wrong.
    pub(crate) fn mirror_statuses(self) -> Result<Vec<MirrorStatus>> {
        let context = self.context;
        context.settings.permissions.require_administrator("mirror status")?;
        let log = Log::open_to_read(&context.settings.db()?.value)?;
        status::read(&log, &context.settings.config, context.now)
    }

    /// Returns the alerts that have nothing to tell, each with its name and the reason; none where
    /// the log cannot be read, which is told in other ways.
    pub(crate) fn silent_alerts(self, zone: &Zone) -> Vec<(String, String)> {
        let context = self.context;
        let alerts = &context.settings.config.alerts;
        let Ok(db) = context.settings.db() else { return Vec::new() };
        if alerts.is_empty() {
            return Vec::new();
        }
        let found = Log::open_to_read(&db.value)
            .and_then(|log| silence::find(&log, alerts, context.now))
            .unwrap_or_default();
        found.into_iter().map(|silent| (silent.name, silent.reason.describe(zone))).collect()
    }

    /// Finds out whether the destination of a mirror would take an event.
    ///
    /// # Errors
    /// As [`resend::test`]; there is no mirror of that name.
    pub(crate) fn test_mirror(self, name: &str) -> Result<()> {
        let probe = self.context.probe();
        let test = |feed: &mut Feed, run_context: &_| resend::test(feed, probe, run_context);
        self.with_mirror(name, &Interrupt::default(), test)
    }

    /// Delivers the dead letters of a mirror again, until a signal comes.
    ///
    /// # Errors
    /// As [`resend::retry`]; there is no mirror of that name.
    pub(crate) fn retry_mirror(self, name: &str, interrupt: &Interrupt) -> Result<ResendSummary> {
        self.with_mirror(name, interrupt, resend::retry)
    }

    /// Delivers again what a mirror was sent and a further query matches, until a signal comes.
    ///
    /// # Errors
    /// As [`resend::replay`]; there is no mirror of that name.
    pub(crate) fn replay_mirror(
        self,
        name: &str,
        narrowed: &Query,
        interrupt: &Interrupt,
    ) -> Result<ResendSummary> {
        let replay = |feed: &mut Feed, run_context: &_| resend::replay(feed, run_context, narrowed);
        self.with_mirror(name, interrupt, replay)
    }

    /// Sends a message through an alert that says it is a test.
    ///
    /// # Errors
    /// As [`resend::test`]; there is no alert of that name.
    pub(crate) fn test_alert(self, name: &str) -> Result<()> {
        let context = self.context;
        context.settings.permissions.require(Capability::Mirror)?;
        let alert = self.find_alert(name)?;
        let run_context = self.run_context(&Interrupt::default())?;
        let zone = context.zone()?;
        let sinks = context.sink_context(&run_context, &zone);
        let mut feed = context.alert_feed(alert, &context.settings.site(), sinks)?;
        resend::test(&mut feed, context.probe(), &run_context)
    }

    /// Returns what an alert would have sent about events that a further query matches.
    ///
    /// # Errors
    /// The log cannot be read; there is no alert of that name.
    pub(crate) fn preview_alert(self, name: &str, narrowed: &Query) -> Result<AlertPreview> {
        let context = self.context;
        context.settings.permissions.require(Capability::Mirror)?;
        let alert = self.find_alert(name)?;
        let log = Log::open_to_read(&context.settings.db()?.value)?;
        let zone = context.zone()?;
        alert::preview(&log, alert, narrowed, &zone, context.settings.system_label())
    }

    fn find_alert(self, name: &str) -> Result<&'a AlertConfig> {
        let alerts = &self.context.settings.config.alerts;
        let known = || alerts.iter().map(|alert| alert.name.as_str());
        let found = alerts.iter().find(|alert| alert.name == name);
        Ok(found.ok_or_else(|| unknown_name("alert", name, known()))?)
    }

    fn with_mirror<T>(
        self,
        name: &str,
        interrupt: &Interrupt,
        work: impl FnOnce(&mut Feed, &RunContext) -> Result<T>,
    ) -> Result<T> {
        let context = self.context;
        context.settings.permissions.require(Capability::Mirror)?;
        let mirrors = &context.settings.config.mirrors;
        let Some(mirror) = mirrors.iter().find(|mirror| mirror.name == name) else {
            let names = mirrors.iter().map(|mirror| mirror.name.as_str());
            return Err(unknown_name("mirror", name, names).into());
        };
        let run_context = self.run_context(interrupt)?;
        let zone = context.zone()?;
        let sinks = context.sink_context(&run_context, &zone);
        let mut feed = Feed::of_mirror(mirror, &context.settings.site(), sinks)?;
        work(&mut feed, &run_context)
    }

    fn run_context(self, interrupt: &Interrupt) -> Result<RunContext> {
        Ok(RunContext {
            log: self.context.settings.db()?.value,
            clock: Timestamp::now,
            recorded_by: self.context.caller.recorded_by(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            interrupt: interrupt.clone(),
        })
    }
}

impl Context {
    /// Returns an event that is not in the log, to test destinations with.
    fn probe(&self) -> Event {
        let mut probe =
            Event::minimal(Arc::new(Action { slug: TEST_ACTION.to_owned(), module: None }));
        probe.event_id = format!("test-{}", self.now.as_nanos());
        (probe.occurred_at, probe.recorded_at) = (self.now, self.now);
        probe.recorded_by = Arc::from(self.caller.recorded_by());
        probe.title = Some(Arc::from("This is a test, and nothing happened"));
        probe
    }

    /// Makes the enabled mirrors and alerts of the config.
    fn feeds(&self, run_context: &RunContext, zone: &Zone) -> Vec<Result<Feed>> {
        let config = &self.settings.config;
        let site = self.settings.site();
        let sinks = self.sink_context(run_context, zone);
        let mirrors = config.mirrors.iter().filter(|mirror| mirror.pace.enabled);
        let alerts = config.alerts.iter().filter(|alert| alert.pace.enabled);
        mirrors
            .map(|mirror| Feed::of_mirror(mirror, &site, sinks))
            .chain(alerts.map(|alert| self.alert_feed(alert, &site, sinks)))
            .collect()
    }

    fn alert_feed(&self, alert: &AlertConfig, site: &str, sinks: SinkContext<'_>) -> Result<Feed> {
        Feed::of_alert(alert, (site, self.settings.system_label()), sinks, |to| {
            // A wrong address is an error of the config here, not of the call.
            for address in to {
                Mailbox::parse(address)?;
            }
            Ok(self.mail_settings(to)?)
        })
    }

    fn sink_context<'a>(&'a self, run_context: &'a RunContext, zone: &'a Zone) -> SinkContext<'a> {
        SinkContext {
            environment: &self.settings.environment,
            trusted_uid: self.caller.real.uid,
            rights: &self.settings.rights,
            zone,
            host: &run_context.host,
            log: &run_context.log,
            clock: Timestamp::now,
            timeout: std::time::Duration::ZERO,
        }
    }
}

fn is_direct(mirror: &MirrorConfig) -> bool {
    mirror.direct && mirror.pace.enabled
}

/// The error for a name that the config does not have.
pub(super) fn unknown_name<'a>(
    list: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Failure {
    let known: Vec<&str> = known.collect();
    let message = format!("the config has no {list} \"{}\"", text::escape(name));
    let failure = Failure::new(Exit::Usage, message);
    match known[..] {
        [] => failure,
        _ => failure.hint(format!("it has {}", text::escape(&known.join(", ")))),
    }
}
