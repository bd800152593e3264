//! Tables of events.

use std::sync::Arc;

use insta::assert_snapshot;

use crate::event::Event;
use crate::event::Party;
use crate::render::EventTable;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::TableColumns;
use crate::render::TableView;
use crate::render::TimeDisplay;
use crate::render::sample;
use crate::render::sample::drawn;
use crate::render::sample::edit;
use crate::render::tests::activity;
use crate::render::tests::coloured;
use crate::render::tests::list;
use crate::render::tests::requests;
use crate::time::Zone;

#[test]
fn a_listing_is_as_wide_as_its_cells() {
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(96)), @"
    WHEN          ACTOR                           ACTION               TARGET               SOURCE
    2 min ago     Jerome Cruz                     user.edit            James Compton        operator
    14 min ago    (system)                        backup.created       site-snapshot        cron
    1 hr ago      Maria Reyes                     post.publish         Spring launch        operator
    3 hr ago      Jerome Cruz                     settings.write       general → site_name  operator
    Thu 11:20     James Compton (by Jerome Cruz)  page.delete          Old pricing          operator
    Thu 11:00     (system)                        cache.purge          all surfaces         system
    12 Nov 11:00  (anonymous)                     ✗ auth.login_failed                       api
    ");
}

#[test]
fn a_narrow_listing_cuts_names_and_leaves_the_source_out() {
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(72)), @"
    WHEN          ACTOR               ACTION               TARGET
    2 min ago     Jerome Cruz         user.edit            James Compton
    14 min ago    (system)            backup.created       site-snapshot
    1 hr ago      Maria Reyes         post.publish         Spring launch
    3 hr ago      Jerome Cruz         settings.write       general → site_n…
    Thu 11:20     (by Jerome Cruz)    page.delete          Old pricing
    Thu 11:00     (system)            cache.purge          all surfaces
    12 Nov 11:00  (anonymous)         ✗ auth.login_failed
    ");
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(60)), @"
    WHEN          ACTOR         ACTION              TARGET
    2 min ago     Jerome Cruz   user.edit           James Compt…
    14 min ago    (system)      backup.created      site-snapsh…
    1 hr ago      Maria Reyes   post.publish        Spring laun…
    3 hr ago      Jerome Cruz   settings.write      general → s…
    Thu 11:20     (by Jerome…   page.delete         Old pricing
    Thu 11:00     (system)      cache.purge         all surfaces
    12 Nov 11:00  (anonymous)   ✗ auth.login_fail…
    ");
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(40)), @"
    WHEN          ACTION
    2 min ago     user.edit
    14 min ago    backup.created
    1 hr ago      post.publish
    3 hr ago      settings.write
    Thu 11:20     page.delete
    Thu 11:00     cache.purge
    12 Nov 11:00  ✗ auth.login_failed
    ");
}

#[test]
fn requests_have_a_view_of_their_own() {
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), Some(120)), @"
    WHEN       TITLE           ACTION       USER                         METHOD  ENDPOINT                     STATUS  MODULE
    3 min ago  User logged in  login        Maria Reyes                  POST    /v1/auth/login                  200  auth
    5 min ago  Submitted quiz  submit_quiz  Ravi Naid… (by Jerome Cruz)  PUT     /v1/quizzes/71f0a3b2/submi…     302  quiz
    9 min ago  Profile update  ✗ edit       4c1d8e…3c7e11                DELETE  /v1/users/4c1d8e2a-77b1-4c…     422  web
    ");
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), Some(80)), @"
    WHEN       TITLE         ACTION       USER          METHOD  ENDPOINT      STATUS
    3 min ago  User logged…  login        Maria Reyes   POST    /v1/auth/lo…     200
    5 min ago  Submitted q…  submit_quiz  (by Jerome…   PUT     /v1/quizzes…     302
    9 min ago  Profile upd…  ✗ edit       4c1d8e…c7e11  DELETE  /v1/users/4…     422
    ");
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), Some(60)), @"
    WHEN       ACTION       METHOD  ENDPOINT              STATUS
    3 min ago  login        POST    /v1/auth/login           200
    5 min ago  submit_quiz  PUT     /v1/quizzes/71f0a3b…     302
    9 min ago  ✗ edit       DELETE  /v1/users/4c1d8e2a-…     422
    ");
}

#[test]
fn off_a_terminal_nothing_is_cut() {
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), None), @"
    WHEN       TITLE           ACTION       USER                                  METHOD  ENDPOINT                                        STATUS  MODULE
    3 min ago  User logged in  login        Maria Reyes                           POST    /v1/auth/login                                     200  auth
    5 min ago  Submitted quiz  submit_quiz  Ravi Naidoo (by Jerome Cruz)          PUT     /v1/quizzes/71f0a3b2/submissions                   302  quiz
    9 min ago  Profile update  ✗ edit       4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11  DELETE  /v1/users/4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11     422  web
    ");
}

#[test]
fn colour_follows_meaning() {
    let listed = |events: &[Event], view| {
        coloured(|printer, out| {
            let columns = TableColumns::from_view(view);
            EventTable::new(&columns).write(printer, events, &Labels::default(), out).unwrap();
        })
    };
    assert_snapshot!(listed(&activity(), TableView::Activity), @"
    {1mWHEN}          {1mACTOR}                           {1mACTION}               {1mTARGET}               {1mSOURCE}
    2 min ago     Jerome Cruz                     user.edit            James Compton        operator
    14 min ago    {2m(system)}                        backup.created       site-snapshot        cron
    1 hr ago      Maria Reyes                     {31mpost.publish}         Spring launch        operator
    3 hr ago      Jerome Cruz                     settings.write       general → site_name  operator
    Thu 11:20     James Compton (by Jerome Cruz)  {1;31mpage.delete}          Old pricing          operator
    Thu 11:00     {2m(system)}                        cache.purge          all surfaces         system
    12 Nov 11:00  {2m(anonymous)}                     {31m✗} auth.login_failed                       api
    ");
    assert_snapshot!(listed(&requests(), TableView::Http), @"
    {1mWHEN}       {1mTITLE}           {1mACTION}       {1mUSER}                         {1mMETHOD}  {1mENDPOINT}                     {1mSTATUS}  {1mMODULE}
    3 min ago  {1mUser logged in}  login        Maria Reyes                  {32mPOST}    /v1/auth/login                  {32m200}  auth
    5 min ago  {1mSubmitted quiz}  submit_quiz  Ravi Naid… (by Jerome Cruz)  {33mPUT}     /v1/quizzes/71f0a3b2/submi…     {2m302}  quiz
    9 min ago  {1mProfile update}  {31m✗} edit       4c1d8e…3c7e11                {31mDELETE}  /v1/users/4c1d8e2a-77b1-4c…     {33m422}  web
    ");
}

#[test]
fn any_field_can_be_a_column() {
    let columns =
        TableColumns::parse("id,occurred_at,status,diff,payload", TableView::Activity).unwrap();
    assert_snapshot!(list(&[edit(), requests().remove(0)], &columns, None), @r#"
       ID  OCCURRED_AT  STATUS  DIFF                                                                                                                                               PAYLOAD
    48213  2 min ago            {"phone":{"before":"+27 82 555 0100","after":"+27 82 555 0199"},"locale":{"before":"en","after":"en"},"newsletter":{"before":true,"after":false}}  {"request_id":"0d9e","via":"admin"}
    48213  3 min ago       200
    "#);
}

#[test]
fn a_missing_label_is_filled_in_and_marked() {
    let mut labels = Labels::default();
    labels.insert(None, "4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11", "Thandi Mokoena");
    let columns = TableColumns::parse("user", TableView::Http).unwrap();
    let page = drawn(Some(80), |printer, out| {
        EventTable::new(&columns).write(printer, &requests()[2..], &labels, out)
    });
    assert_eq!(page, "USER\n~Thandi Mokoena\n");
}

#[test]
fn long_ids_are_cut_to_a_telling_beginning() {
    let columns = TableColumns::parse("user", TableView::Activity).unwrap();
    let shown = |id: &str, width| {
        let actor = Some(Arc::new(Party { id: Some(id.into()), label: None }));
        let page = list(&[Event { actor, ..edit() }], &columns, width);
        page.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(shown("u_f8042ef86457", Some(80)), "u_f8042ef86457");
    assert_eq!(shown("jerome@example.org", Some(80)), "jerome@example.org");
    assert_eq!(shown("arn:aws:iam::123456789012:user/bert", Some(80)), "arn:aws:iam:…2:user/bert");
    assert_eq!(shown("f8042ef86457f8042ef86457", Some(80)), "f8042e…f86457");
    assert_eq!(shown("f8042ef86457f8042ef86457", None), "f8042ef86457f8042ef86457");
}

#[test]
fn a_continued_listing_keeps_its_columns() {
    let columns = TableColumns::from_view(TableView::Activity);
    let events = activity();
    let page = drawn(Some(96), |printer, out| {
        let mut listing = EventTable::new(&columns);
        listing.write(printer, &events[4..5], &Labels::default(), out)?;
        listing.write(printer, &events[..1], &Labels::default(), out)
    });
    assert_snapshot!(page, @"
    WHEN       ACTOR                           ACTION       TARGET       SOURCE
    Thu 11:20  James Compton (by Jerome Cruz)  page.delete  Old pricing  operator
    2 min ago  Jerome Cruz                     user.edit    James Compton  operator
    ");
}

#[test]
fn times_are_written_in_the_requested_form() {
    let zone = Zone::parse("Africa/Johannesburg").unwrap();
    let shown = |times| {
        sample::with_printer(Some(80), |printer| {
            Printer { time_display: times, zone: &zone, ..*printer }.format_time(edit().occurred_at)
        })
    };
    assert_eq!(shown(TimeDisplay::Relative), "2 min ago");
    assert_eq!(shown(TimeDisplay::Local), "2026-11-20 14:28:09 SAST");
    assert_eq!(shown(TimeDisplay::Rfc3339), "2026-11-20T14:28:09.551+02:00");
    assert_eq!(shown(TimeDisplay::Utc), "2026-11-20T12:28:09.551000000Z");
}
