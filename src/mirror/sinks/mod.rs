//! The kinds of destinations, one file each.

mod central;
mod cloudwatch;
mod file;
mod http;
mod loggly;
mod service;
pub(super) mod slack;
mod syslog;

#[cfg(test)]
mod fake_service;

use anyhow::Result;

use crate::config::mirror::DestinationConfig;
#[cfg(not(feature = "central"))]
use crate::failure::Exit;
#[cfg(not(feature = "central"))]
use crate::failure::Failure;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sinks::central::ClickHouseSink;
#[cfg(feature = "central")]
use crate::mirror::sinks::central::PostgresSink;
use crate::mirror::sinks::cloudwatch::CloudWatchSink;
use crate::mirror::sinks::file::FileSink;
use crate::mirror::sinks::http::HttpSink;
use crate::mirror::sinks::loggly::LogglySink;
use crate::mirror::sinks::slack::SlackSink;
use crate::mirror::sinks::syslog::SyslogSink;

/// Makes the sink of a destination. It does not connect yet, so that an absent service is no error
/// of the config.
///
/// # Errors
/// [`Exit::Config`](crate::failure::Exit::Config) for a value that cannot be, a key file that is
/// missing or not private.
pub(crate) fn open(
    destination: &DestinationConfig,
    context: SinkContext<'_>,
) -> Result<Box<dyn Sink>> {
    Ok(match destination {
        DestinationConfig::File(config) => Box::new(FileSink::new(config, &context)),
        DestinationConfig::Syslog(config) => Box::new(SyslogSink::new(config, context)?),
        DestinationConfig::Http(config) => Box::new(HttpSink::new(config, context)?),
        DestinationConfig::Loggly(config) => Box::new(LogglySink::new(config, context)?),
        DestinationConfig::Slack(config) => Box::new(SlackSink::new(config, context)?),
        DestinationConfig::CloudWatch(config) => Box::new(CloudWatchSink::new(config, context)?),
        #[cfg(feature = "central")]
        DestinationConfig::Postgres(config) => Box::new(PostgresSink::new(config, context)?),
        #[cfg(not(feature = "central"))]
        DestinationConfig::Postgres(_) => {
            return Err(Failure::new(Exit::Config, "this build has no central store").into());
        }
        DestinationConfig::ClickHouse(config) => Box::new(ClickHouseSink::new(config, context)?),
    })
}
