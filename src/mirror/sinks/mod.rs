//! The kinds of destinations, one file each.

mod file;

use anyhow::Result;

use crate::config::mirror::DestinationConfig;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;

/// Makes the sink of a destination. It does not connect yet, so that an absent service is no error
/// of the config.
///
/// # Errors
/// [`Exit::Config`] for a value that cannot be, a key file that is missing or not private.
pub(crate) fn open(
    destination: &DestinationConfig,
    context: SinkContext<'_>,
) -> Result<Box<dyn Sink>> {
    match destination {
        DestinationConfig::File(config) => Ok(Box::new(file::FileSink::new(config, &context))),
        DestinationConfig::Syslog(_)
        | DestinationConfig::Http(_)
        | DestinationConfig::Loggly(_)
        | DestinationConfig::Slack(_)
        | DestinationConfig::CloudWatch(_)
        | DestinationConfig::Postgres(_)
        | DestinationConfig::ClickHouse(_) => {
            Err(Failure::new(Exit::Config, "this type of mirror is not built yet").into())
        }
    }
}
