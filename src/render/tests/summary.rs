//! The summary of a search, and the list of actions.

use insta::assert_snapshot;

use crate::render::ActionRow;
use crate::render::FoundSubject;
use crate::render::SearchSubject;
use crate::render::SearchSummary;
use crate::render::sample::at;
use crate::render::sample::drawn;

#[test]
fn a_summary_describes_a_record() {
    let summary = SearchSummary {
        subject: SearchSubject::Target,
        search_term: "user/17".into(),
        events: 214,
        first: at("2025-11-02T10:00:00Z"),
        last: at("2026-11-20T12:28:09Z"),
        subjects: vec![FoundSubject {
            id: Some("user/17".into()),
            tenant: None,
            labels: vec![
                ("James Compton".into(), at("2026-03-02T10:00:00Z")),
                ("Jim Compton".into(), at("2025-11-02T10:00:00Z")),
            ],
            events: 214,
            query: "type:user target_id:17".into(),
        }],
        types: vec![("user".into(), 214)],
        actions: [
            ("user.edit", 1200),
            ("auth.login_failed", 41),
            ("user.suspend", 2),
            ("a", 1),
            ("b", 1),
        ]
        .map(|(kind, count)| (kind.to_owned(), count))
        .to_vec(),
        others: vec![
            (Some("Jerome Cruz".into()), 141),
            (None, 38),
            (Some("Maria Reyes".into()), 20),
            (Some("Ravi Naidoo".into()), 2),
        ],
        people: 8,
        others_total: 9,
        monthly: vec![1, 1, 4, 1, 1, 6, 1, 0, 1, 3, 9, 14],
    };
    let head = |summary: &SearchSummary, width| {
        drawn(Some(width), |printer, out| printer.write_summary(summary, out))
    };
    assert_snapshot!(head(&summary, 120), @"
    user/17  James Compton
      labels     James Compton since 2 Mar 2026, before that Jim Compton
      events     214 from 2 Nov 2025 to 2 min ago by 8 people: Jerome Cruz 141, (system) 38, Maria Reyes 20, 6 more
      kinds      user.edit 1,200 · auth.login_failed 41 · user.suspend 2 · 2 more
      activity   ▂▂▃▂▂▄▂▁▂▃▆█ by month
    ");
    assert_snapshot!(head(&summary, 60), @"
    user/17  James Compton
      labels     James Compton since 2 Mar 2026, before that Jim
                 Compton
      events     214 from 2 Nov 2025 to 2 min ago by 8 people:
                 Jerome Cruz 141, (system) 38, Maria Reyes 20, 6
                 more
      kinds      user.edit 1,200 · auth.login_failed 41 ·
                 user.suspend 2 · 2 more
      activity   ▂▂▃▂▂▄▂▁▂▃▆█ by month
    ");
    let actor = SearchSummary {
        subject: SearchSubject::Actor,
        search_term: "3".into(),
        events: 1,
        subjects: ["3", "u_3"]
            .map(|id| FoundSubject {
                id: Some(id.into()),
                tenant: Some("s2l.online".into()),
                labels: vec![("Jerome Cruz".into(), at("2026-03-02T10:00:00Z"))],
                events: 1,
                query: format!("person:{id} tenant:s2l.online"),
            })
            .to_vec(),
        types: vec![("user".into(), 140), ("post".into(), 1)],
        actions: vec![("user.edit".into(), 1)],
        others: vec![(Some("James Compton".into()), 1)],
        others_total: 1,
        monthly: vec![1; 100],
        ..summary
    };
    assert_snapshot!(head(&actor, 80), @"
    3
      people     3 s2l.online Jerome Cruz, 1 event: person:3 tenant:s2l.online
                 u_3 s2l.online Jerome Cruz, 1 event: person:u_3 tenant:s2l.online
      events     1, 2 Nov 2025 on 1 record: James Compton 1
      types      user 140 · post 1
      kinds      user.edit 1
      activity   ▄█████████████████████████████████ by 3 months
    ");
}

#[test]
fn actions_have_a_rhythm() {
    let action_row =
        |action: &str, count, last, daily: [u64; 14], remark: Option<&str>| ActionRow {
            action: action.into(),
            count,
            last: at(last),
            daily: daily.to_vec(),
            remark: remark.map(str::to_owned),
        };
    let actions = [
        action_row(
            "auth.login",
            41_220,
            "2026-11-20T12:28:00Z",
            [30, 40, 31, 41, 50, 9, 8, 40, 41, 50, 40, 41, 5, 6],
            None,
        ),
        action_row(
            "signin.email_sent",
            902,
            "2026-11-11T12:00:00Z",
            [14, 15, 14, 14, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Some("gone quiet, normally 14 a day"),
        ),
    ];
    assert_snapshot!(drawn(Some(80), |printer, out| printer.write_actions(&actions, out)), @"
    ACTION             EVENTS  LAST SEEN     RHYTHM
    auth.login         41,220  2 min ago     ▇▇█▇▇▂▂
    signin.email_sent     902  11 Nov 14:00  ▁▁▁▁▁▁▁   gone quiet, normally 14 a day
    ");
}
