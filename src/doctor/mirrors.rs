//! The checks of mirrors and alerts.

use crate::doctor;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::CheckInputs;
use crate::mirror::status;
use crate::mirror::status::MirrorStatus;
use crate::render::Status;
use crate::text;
use crate::time::Span;
use crate::time::Zone;

/// What has waited longer counts as stuck: cron delivers every minute, and a service may be busy.
const MAX_LAG: Span = Span::from_seconds(600);

/// Checks every mirror and alert of the config; nothing where the log cannot be read, which another
/// check tells.
pub(super) fn evaluate(subject: &CheckInputs<'_>) -> Vec<Check> {
    let Some(Ok(log)) = &subject.log else { return Vec::new() };
    match status::read(log, &subject.settings.config, subject.now) {
        Ok(statuses) => {
            statuses.iter().map(|status| check(status, subject.mail_context.zone)).collect()
        }
        Err(error) => {
            let (what, hint) = doctor::reason_and_hint(&error);
            let check = Check::new(Area::Mirrors, "mirrors", Status::Bad, what);
            vec![Check { advice: hint, ..check }]
        }
    }
}

fn check(mirror: &MirrorStatus, zone: &Zone) -> Check {
    let kind = mirror.kind.name();
    let name = text::escape(&mirror.name);
    let with_name =
        |status, what: String| Check::new(Area::Mirrors, kind, status, format!("{name}: {what}"));
    if !mirror.enabled {
        return with_name(Status::Note, "disabled".to_owned());
    }
    let waiting = match (mirror.waiting, mirror.lag) {
        (0, _) | (_, None) => "nothing waits".to_owned(),
        (some, Some(lag)) => format!("{} waiting for {lag}", text::plural(some, "event")),
    };
    let delivered = text::plural(mirror.delivered, "event");
    if mirror.lags_more_than(MAX_LAG) {
        let why = mirror.error.as_deref().unwrap_or("nothing has tried to deliver it");
        return with_name(Status::Bad, format!("{waiting}: {}", text::escape(why))).with_advice(
            "`activity mirror` delivers; cron runs it every minute, or a service with --follow",
        );
    }
    if mirror.dead > 0 {
        let dead = text::plural(mirror.dead, "event");
        let advice = format!("when the cause is mended: activity mirror retry {}", mirror.name);
        return with_name(Status::Note, format!("{dead} refused for good, {waiting}"))
            .with_advice(text::escape(&advice));
    }
    if let Some(silence) = &mirror.silence {
        return with_name(Status::Note, silence.describe(zone))
            .with_advice("look at its query: it may watch for the wrong thing");
    }
    with_name(Status::Ok, format!("{delivered} delivered, {waiting}"))
}
