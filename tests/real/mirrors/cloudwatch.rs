//! CloudWatch: moto's, with its check of signatures switched on.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use serde_json::json;

use crate::mirrors::Server;
use crate::mirrors::clocks;
use crate::mirrors::event_id;
use crate::mirrors::event_ids;
use crate::mirrors::free_port;
use crate::mirrors::ingest_events;
use crate::mirrors::receivers;
use crate::support::Sandbox;
use crate::support::clock;
use crate::tools;

const SECRET: &str = "aws-s3cret/key+of=a/user";

struct Moto {
    environment: PathBuf,
    port: u16,
    _server: Server,
    sandbox: Sandbox,
}

impl Moto {
    /// Starts moto with a user who may write logs; its keys stand in `~/.aws/credentials` of the sandbox
    /// for the mirrors. Returns `None` where moto cannot be had.
    fn start(mirrors: &Sandbox) -> Option<Self> {
        let environment = receivers::folder("moto")?;
        let sandbox = Sandbox::new();
        let port = free_port();
        let mut command = sandbox.command_of(environment.join("bin/moto_server"));
        // The requests that make the user are not checked; all later ones are.
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", "3");
        let server = Server::start(command, &sandbox.path("server.log"));
        server.wait_for_port(port);
        let moto = Self { environment, port, _server: server, sandbox };
        let keys = moto.boto(
            "iam = client('iam')\n\
             iam.create_user(UserName='mirror')\n\
             policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 'logs:*', 'Resource': '*'}]}\n\
             iam.put_user_policy(UserName='mirror', PolicyName='logs', PolicyDocument=json.dumps(policy))\n\
             key = iam.create_access_key(UserName='mirror')['AccessKey']\n\
             print(json.dumps([key['AccessKeyId'], key['SecretAccessKey']]))",
            ("x", SECRET),
        );
        let (id, secret) = (keys[0].as_str().unwrap(), keys[1].as_str().unwrap());
        write_credentials(mirrors, id, secret);
        Some(moto)
    }

    /// Runs a script with AWS's own library, and returns the JSON that it prints.
    fn boto(&self, script: &str, (id, secret): (&str, &str)) -> Value {
        let port = self.port;
        let script = format!(
            "import boto3, json\n\
             def client(name):\n    return boto3.client(name, endpoint_url='http://127.0.0.1:{port}', \
             region_name='eu-central-1', aws_access_key_id='{id}', aws_secret_access_key='{secret}')\n\
             {script}"
        );
        let mut command: Command = self.sandbox.command_of(self.environment.join("bin/python"));
        command.args(["-c", &script]);
        self.sandbox.run_command(command).ok().json()
    }

    fn config(&self, more: &str) -> String {
        format!(
            "[[mirror]]\nname = 'aws'\ntype = 'cloudwatch'\nregion = 'eu-central-1'\n\
             group = '/audit/activity'\nstream = 'web3'\nendpoint = 'http://127.0.0.1:{}'\n{more}\n",
            self.port
        )
    }
}

pub(super) fn write_credentials(sandbox: &Sandbox, id: &str, secret: &str) {
    let folder = sandbox.home().join(".aws");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("credentials");
    let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(&path, text).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
}

fn read_credentials(sandbox: &Sandbox) -> (String, String) {
    let text = std::fs::read_to_string(sandbox.home().join(".aws/credentials")).unwrap();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_once(" = ").unwrap().1.to_owned()
    };
    (value("aws_access_key_id"), value("aws_secret_access_key"))
}

/// All events of the stream, in its order.
fn received(moto: &Moto, sandbox: &Sandbox) -> Vec<Value> {
    let (id, secret) = read_credentials(sandbox);
    let script = "logs = client('logs')\nall, token = [], {}\n\
         while True:\n\
         \x20   page = logs.get_log_events(logGroupName='/audit/activity', logStreamName='web3', \
         startFromHead=True, **token)\n\
         \x20   if not page['events']: break\n\
         \x20   all += [[e['timestamp'], e['message']] for e in page['events']]\n\
         \x20   token = {'nextToken': page['nextForwardToken']}\n\
         print(json.dumps(all))";
    let events = moto.boto(script, (&id, &secret));
    events.as_array().unwrap().clone()
}

#[test]
fn every_signed_event_arrives_once_in_order() {
    let sandbox = Sandbox::new();
    let Some(moto) = Moto::start(&sandbox) else { return };
    sandbox.write("config.toml", moto.config("batch = 300"));
    ingest_events(&sandbox, 1000);
    sandbox.run(["mirror"]).ok().done();
    sandbox.run(["mirror"]).ok().done();
    let received = received(&moto, &sandbox);
    let event = |event: &Value| serde_json::from_str(event[1].as_str().unwrap()).unwrap();
    let received: Vec<Value> = received.iter().map(event).collect();
    assert_eq!(received, sandbox.stored_events());
}

#[test]
fn late_events_arrive_and_hold_up_no_others() {
    let sandbox = Sandbox::new();
    let Some(moto) = Moto::start(&sandbox) else { return };
    sandbox.write("config.toml", moto.config(""));
    const HOUR: i64 = 3600;
    let hours = [30, 1, 200, 26, 0, 24 * 20, 2];
    for (number, hours) in hours.iter().enumerate() {
        let at = clock::seconds_ago(hours * HOUR + 60);
        let event = json!({"action": "a.b", "event_id": format!("e{number}"), "occurred_at": at});
        sandbox.ingest(event.to_string());
    }
    sandbox.run(["mirror"]).ok().done();
    let received = received(&moto, &sandbox);
    let ids = |event: &Value| event_id(&serde_json::from_str(event[1].as_str().unwrap()).unwrap());
    let mut ids: Vec<String> = received.iter().map(ids).collect();
    ids.sort();
    // moto counts those that it refuses by another rule than AWS: tests beside the sink show that they
    // become dead letters.
    assert_eq!(ids, ["e0", "e1", "e2", "e3", "e4", "e6"]);
}

#[test]
fn a_wrong_secret_is_refused_by_the_signature_and_not_shown() {
    let sandbox = Sandbox::new();
    let Some(moto) = Moto::start(&sandbox) else { return };
    let (id, good) = read_credentials(&sandbox);
    write_credentials(&sandbox, &id, SECRET);
    sandbox.write("config.toml", moto.config("attempts = 1\nwait = '1s'"));
    ingest_events(&sandbox, 3);
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("answered 403"), "{out}");
    assert!(!out.stderr().contains(SECRET), "{out}");
    write_credentials(&sandbox, &id, &good);
    super::run_until_delivered(&sandbox);
    assert_eq!(received(&moto, &sandbox).len(), event_ids(&sandbox, &[]).len());
}

#[test]
fn a_clock_that_steps_changes_no_order_and_holds_nothing_up() {
    if !tools::require_programs(&["faketime"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let Some(moto) = Moto::start(&sandbox) else { return };
    // The service takes no event from another year, however it is signed.
    let query = format!("attempts = 1\nwait = '1s'\nquery = 'action:{}'", clocks::SOUND_ACTION);
    clocks::deliver_while_the_clock_steps(&sandbox, &moto.config(&query), moto.port);
    let received = received(&moto, &sandbox);
    let ids = |event: &Value| event_id(&serde_json::from_str(event[1].as_str().unwrap()).unwrap());
    let received: Vec<String> = received.iter().map(ids).collect();
    assert_eq!(received, event_ids(&sandbox, &[&format!("action:{}", clocks::SOUND_ACTION)]));
}
