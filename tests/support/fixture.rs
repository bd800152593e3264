//! A small log that many tests read: eight events whose every field is known.

use crate::support::Sandbox;

/// Oldest last, so that the order of arrival is not that of time.
pub(crate) const EVENTS: &str = r#"
{"event_id":"e1","occurred_at":"2025-03-05T14:28:09.551Z","tenant":"s2l.online","severity":"low","module":"users","action":"user.edit","title":"Profile update","actor_id":"3","actor_label":"Jerome Cruz","target_type":"user","target_id":"17","target_label":"James Compton","diff":{"phone":{"before":"+27 82 555 0100","after":"+27 82 555 0199"},"newsletter":{"before":true,"after":false}},"payload":{"request_id":"0d9e","via":"admin"},"ip":"102.65.14.9","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","session_id":"s-1"}
{"event_id":"e2","occurred_at":"2025-03-05T14:16:00Z","tenant":"s2l.online","source":"cron","module":"ops","action":"backup.created","target_type":"site","target_id":"site-snapshot","target_label":"site-snapshot"}
{"event_id":"e3","occurred_at":"2025-03-05T13:30:00Z","tenant":"s2l.online","module":"posts","action":"post.publish","title":"Spring launch goes out","actor_id":"9","actor_label":"Maria Reyes","target_type":"post","target_id":"spring-launch","target_label":"Spring launch","ip":"2001:db8::7"}
{"event_id":"e4","occurred_at":"2025-03-05T11:30:00Z","tenant":"s2l.online","severity":"high","module":"settings","action":"settings.write","actor_id":"3","actor_label":"Jerome Cruz","target_type":"setting","target_id":"general","target_label":"General settings","diff":{"site_name":{"before":"S2L","after":"S2L Online"}}}
{"event_id":"e5","occurred_at":"2025-03-04T16:00:00Z","tenant":"s2l.online","module":"pages","action":"page.delete","actor_id":"17","actor_label":"James Compton","impersonator_id":"3","impersonator_label":"Jerome Cruz","target_type":"page","target_id":"old-pricing","target_label":"Old pricing"}
{"event_id":"e6","occurred_at":"2025-03-04T08:00:00Z","tenant":"other.example","source":"api","module":"auth","action":"auth.login_failed","title":"Sign-in refused","actor_id":"17","actor_label":"Jim Compton","target_type":"user","target_id":"17","target_label":"Jim Compton","payload":{"token":"abc","tries":3},"ip":"102.65.14.200","method":"POST","endpoint":"/v1/auth/login","status_code":401}
{"event_id":"e7","occurred_at":"2025-03-03T23:59:59.999999999Z","tenant":"other.example","source":"api","module":"quiz","action":"submit_quiz","title":"Submitted quiz","actor_id":"21","target_type":"quiz","target_id":"71f0","method":"post","endpoint":"/v1/quizzes/71f0/submissions","status_code":201}
{"event_id":"e8","occurred_at":"2025-02-28T10:00:00+02:00","source":"system","severity":"critical","action":"cache.purge","target_label":"all surfaces"}
"#;

impl Sandbox {
    /// A sandbox whose log has the events above, with ids 1 to 8.
    #[track_caller]
    pub(crate) fn with_events() -> Self {
        let sandbox = Self::new();
        sandbox.write("events.jsonl", EVENTS);
        sandbox.run(["ingest", "--quiet", "events.jsonl"]).ok().no_stderr().done();
        sandbox
    }
}
