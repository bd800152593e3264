//! Credentials and region, from where AWS's own tools have them: the environment, then
//! `~/.aws/credentials` and `~/.aws/config`.

use std::fs;
use std::path::PathBuf;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::sinks::cloudwatch::signature::AwsCredentials;
use crate::secret;
use crate::secret::Secret;
use crate::settings::Environment;
use crate::text;

const DEFAULT_PROFILE: &str = "default";

/// Finds the credentials.
///
/// # Errors
/// [`Exit::Config`]: there are none, or the file of them is not private.
pub(super) fn find(environment: &Environment, trusted_uid: u32) -> Result<AwsCredentials, Failure> {
    let text = |name| environment.text(name);
    if let (Some(id), Some(key)) = (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")) {
        return credentials(id, key, text("AWS_SESSION_TOKEN"), "the environment");
    }
    let Some(path) = file(environment, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials") else {
        return Err(missing());
    };
    let name = text::escape_bytes(path.as_os_str().as_encoded_bytes());
    if !path.exists() {
        return Err(missing());
    }
    let content = secret::read_private_file(&path, trusted_uid)?;
    let profile = profile(environment);
    let value = |key| ini_value(&content, &profile, key);
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(key)) => credentials(id, key, value("aws_session_token"), &name),
        (None, _) | (_, None) => Err(Failure::new(
            Exit::Config,
            format!("{name} has no keys under [{}]", text::escape(&profile)),
        )),
    }
}

/// Finds the region where the config of the mirror names none.
///
/// # Errors
/// [`Exit::Config`]: there is none.
pub(super) fn find_region(environment: &Environment) -> Result<String, Failure> {
    let variable = environment.text("AWS_REGION").or(environment.text("AWS_DEFAULT_REGION"));
    let from_file = || -> Option<String> {
        let content =
            fs::read_to_string(file(environment, "AWS_CONFIG_FILE", ".aws/config")?).ok()?;
        let profile = profile(environment);
        let section = match profile.as_str() {
            DEFAULT_PROFILE => profile,
            profile => format!("profile {profile}"),
        };
        ini_value(&content, &section, "region").map(str::to_owned)
    };
    variable
        .map(str::to_owned)
        .or_else(from_file)
        .ok_or_else(|| Failure::new(Exit::Config, "region is missing, and AWS_REGION is not set"))
}

fn missing() -> Failure {
    Failure::new(Exit::Config, "there are no credentials for CloudWatch")
        .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials")
}

fn profile(environment: &Environment) -> String {
    environment.text("AWS_PROFILE").unwrap_or(DEFAULT_PROFILE).to_owned()
}

/// Returns the file that a variable names, or the usual one in the home of this user.
fn file(environment: &Environment, variable: &str, usual: &str) -> Option<PathBuf> {
    let named = environment.get(variable).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(environment.get("HOME")?).join(usual)))
}

fn credentials(
    id: &str,
    key: &str,
    token: Option<&str>,
    place: &str,
) -> Result<AwsCredentials, Failure> {
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(Failure::new(Exit::Config, format!("the access key id in {place} is none")));
    }
    Ok(AwsCredentials {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::new(key, &format!("the secret key in {place}"))?,
        session_token: token
            .map(|token| Secret::new(token, &format!("the session token in {place}")))
            .transpose()?,
    })
}

/// Returns the value of a key in a section of an INI file, as AWS's tools read it.
fn ini_value<'a>(content: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut inside = false;
    for line in content.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = name.split_whitespace().eq(section.split_whitespace());
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            let value = value.split(" #").next().unwrap_or(value).trim();
            return Some(value).filter(|value| !value.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_by_the_tools_of_aws() {
        let content = "[default]\naws_access_key_id=A\n# region = x\n\n[ profile  audit ]\n\
                       region = eu-central-1 # Frankfurt\noutput=\n[other]\nregion = y\n";
        assert_eq!(ini_value(content, "default", "aws_access_key_id"), Some("A"));
        assert_eq!(ini_value(content, "default", "region"), None);
        assert_eq!(ini_value(content, "profile audit", "region"), Some("eu-central-1"));
        assert_eq!(ini_value(content, "profile audit", "output"), None);
        assert_eq!(ini_value(content, "audit", "region"), None);
    }
}
