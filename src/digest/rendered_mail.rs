//! A report as a mail: subject, text part and HTML part.
//!
//! The templates are those of `templates/`, or the user's own. They are strict: an unknown variable is
//! an error, never a blank. The HTML part is always escaped, and the [context](super::template_context)
//! has made its texts safe before. A broken template never keeps a mail from being sent: the built-in
//! templates take its place, and the first line says why.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;

use minijinja::AutoEscape;
use minijinja::Environment;
use minijinja::Error;
use minijinja::ErrorKind;
use minijinja::UndefinedBehavior;
use minijinja::Value;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;

use crate::digest::mail_context::MailContext;
use crate::digest::phrases;
use crate::digest::report::DigestReport;
use crate::digest::template_context::TemplateContext;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

const DEFAULT_TEXT_TEMPLATE: &str = include_str!("../../templates/digest.txt");
const DEFAULT_HTML_TEMPLATE: &str = include_str!("../../templates/digest.html");
const DEFAULT_SUBJECT_TEMPLATE: &str =
    "{{ site }}: {% if total %}{{ events }}{% else %}no activity{% endif %} on {{ day }}";

/// The longest template that is read.
const MAX_TEMPLATE_BYTES: u64 = 1 << 20;
/// The steps that a user's template may take. One that lists 10,000 events takes some million.
const MAX_TEMPLATE_STEPS: u64 = 20_000_000;
/// The longest part that a user's template may write. Mail servers take less.
const MAX_PART_BYTES: usize = 16 << 20;
/// The most columns of a subject. Mail programs cut longer ones, and headers have limits.
const MAX_SUBJECT_COLUMNS: usize = 200;

/// The templates of the parts of a mail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates {
    /// The template of the subject. Where a template is absent, the built-in one is used.
    pub subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    /// Why the user's templates cannot be read.
    read_error: Option<String>,
}

/// A mail without sender and recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenderedMail {
    /// One line without control characters, not yet encoded for a header.
    pub subject: String,
    pub text: String,
    /// Absent from a plain mail.
    pub html: Option<String>,
    /// The error of the user's templates, to be reported once the mail is sent.
    pub template_error: Option<String>,
}

impl Templates {
    /// Reads `digest.txt` and `digest.html` of a folder. An absent file means the built-in template.
    /// [`RenderedMail::render`] reports the errors.
    pub(crate) fn read(folder: Option<&Path>, subject: Option<String>) -> Self {
        let mut templates = Self { subject, ..Self::default() };
        let Some(folder) = folder else { return templates };
        let read = || -> Result<_, String> {
            let (text, html) =
                (read_template(folder, "digest.txt")?, read_template(folder, "digest.html")?);
            if text.is_none() && html.is_none() {
                let folder = text::escape_bytes(folder.as_os_str().as_encoded_bytes());
                return Err(format!("{folder} has neither digest.txt nor digest.html"));
            }
            Ok((text, html))
        };
        match read() {
            Ok((text, html)) => (templates.text, templates.html) = (text, html),
            Err(why) => templates.read_error = Some(why),
        }
        templates
    }

    /// Returns the reason why the user's templates cannot be read.
    pub(crate) fn read_error(&self) -> Option<&str> {
        self.read_error.as_deref()
    }
}

/// Reads a template, if the file exists.
fn read_template(folder: &Path, name: &str) -> Result<Option<String>, String> {
    let path = folder.join(name);
    let mut text = String::new();
    let read = File::open(&path)
        .and_then(|file| file.take(MAX_TEMPLATE_BYTES + 1).read_to_string(&mut text));
    let why = match read {
        Ok(length) if length as u64 <= MAX_TEMPLATE_BYTES => return Ok(Some(text)),
        Ok(_) => "it is longer than 1 MiB".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => error.to_string(),
    };
    Err(format!("cannot read {}: {why}", text::escape_bytes(path.as_os_str().as_encoded_bytes())))
}

impl RenderedMail {
    /// Renders a report with the templates, or with the built-in ones where those are broken.
    pub(crate) fn render(
        report: &DigestReport,
        options: &MailContext<'_>,
        templates: &Templates,
    ) -> Self {
        let mut context = TemplateContext::new(report, options);
        let error = match &templates.read_error {
            Some(error) => error.clone(),
            None => match render_parts(&context, templates) {
                Ok(rendered) => return rendered,
                Err(error) => error,
            },
        };
        context.notice =
            format!("The configured templates do not work, this is the built-in mail: {error}");
        let rendered =
            render_parts(&context, &Templates::default()).expect("the built-in templates work");
        Self { template_error: Some(error), ..rendered }
    }

    /// Returns a plain mail in place of a digest that cannot be made. `reason` is escaped already.
    pub(crate) fn fallback(site: &str, reason: &str, now: Timestamp, zone: &Zone) -> Self {
        let site = phrases::escape_label(site);
        let text = format!(
            "The digest of {site} could not be made: {reason}\n\n\
             It was due at {}. The next digest that can be made\n\
             covers what happened in the meantime. `activity doctor` and `activity verify`,\n\
             called on the host of the log, say more.\n",
            zone.format(now, TimeFormat::DateTimeMinute)
        );
        let subject = one_line(&format!("{site}: the digest could not be made: {reason}"));
        Self { subject, text, html: None, template_error: None }
    }

    /// Returns a plain mail that tests the transport. `from` names the sender and their host.
    pub(crate) fn test_mail(site: &str, from: &str, now: Timestamp, zone: &Zone) -> Self {
        let (site, from) = (phrases::escape_label(site), phrases::escape_label(from));
        let text = format!(
            "This mail tries the way that the digest of {site} goes.\n\n\
             `activity doctor --mail` was called by {from} at {}.\n\
             It tells of no events, and the log keeps no record of it.\n",
            zone.format(now, TimeFormat::DateTimeMinute)
        );
        let subject = one_line(&format!("{site}: a test of the digest's mail"));
        Self { subject, text, html: None, template_error: None }
    }
}

/// Renders all parts, or returns the error with the name of its template.
fn render_parts(context: &TemplateContext, templates: &Templates) -> Result<RenderedMail, String> {
    let text = render_part(
        "digest.txt",
        templates.text.as_deref(),
        DEFAULT_TEXT_TEMPLATE,
        PartFormat::Plain,
        context,
    )?;
    let html = render_part(
        "digest.html",
        templates.html.as_deref(),
        DEFAULT_HTML_TEMPLATE,
        PartFormat::Html,
        context,
    )?;
    let subject = render_part(
        "the subject",
        templates.subject.as_deref(),
        DEFAULT_SUBJECT_TEMPLATE,
        PartFormat::Plain,
        context,
    )?;
    let subject = match context.gap.as_str() {
        "" => one_line(&subject),
        gap => one_line(&format!("[{gap}] {subject}")),
    };
    Ok(RenderedMail {
        subject,
        text: collapse_blank_lines(&text),
        html: Some(html),
        template_error: None,
    })
}

/// The format of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartFormat {
    Plain,
    Html,
}

/// Renders the user's template of a part, or the built-in one where the user has none. Only the user's
/// is limited: the built-in ones come to an end, however many events they list.
fn render_part(
    name: &'static str,
    own: Option<&str>,
    built_in: &str,
    format: PartFormat,
    context: &TemplateContext,
) -> Result<String, String> {
    let mut environment = template_environment(format);
    let mut part = PartBuffer { bytes: Vec::new(), limit: usize::MAX };
    if own.is_some() {
        environment.set_fuel(Some(MAX_TEMPLATE_STEPS));
        part.limit = MAX_PART_BYTES;
    }
    environment
        .template_from_named_str(name, own.unwrap_or(built_in))
        .and_then(|template| {
            template.render_captured_to(Value::from(Serde(context)), &mut part).map(drop)
        })
        .map_err(|error| describe_error(name, &error))?;
    Ok(String::from_utf8(part.bytes).expect("a template writes text"))
}

fn template_environment(format: PartFormat) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| match format {
        PartFormat::Plain => AutoEscape::None,
        PartFormat::Html => AutoEscape::Html,
    });
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    // With this filter a template could pass the markup of an event through.
    environment.remove_filter("safe");
    environment.add_filter("thousands", text::format_thousands);
    environment.add_filter("pad", |value: Value, columns: usize| {
        let text = value.to_string();
        text::pad(&text::truncate(&text, columns), columns).into_owned()
    });
    environment.add_filter("right", |value: Value, columns: usize| {
        let text = value.to_string();
        format!("{:1$}{text}", "", columns.saturating_sub(text::width(&text)))
    });
    environment
}

/// A rendered part, which is refused beyond its limit.
struct PartBuffer {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for PartBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns an error as one line with its template and its line.
fn describe_error(name: &str, error: &Error) -> String {
    let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
    let why = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => {
            let steps = text::format_thousands(MAX_TEMPLATE_STEPS);
            format!("stopped after {steps} steps, does a loop never end?")
        }
        (ErrorKind::WriteFailure, _) => {
            format!("it writes more than {} MiB", MAX_PART_BYTES >> 20)
        }
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    phrases::escape_sentence(&format!("{name}{line}: {why}"))
}

/// Turns a text into one line for a header, without control characters and not too long.
fn one_line(text: &str) -> String {
    let to_blank = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = text.chars().map(to_blank).collect();
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    text::truncate(&words.join(" "), MAX_SUBJECT_COLUMNS).into_owned()
}

/// Removes blanks at the ends of lines, and all but one of several empty lines in a row.
fn collapse_blank_lines(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for line in text.trim_start_matches('\n').lines().map(str::trim_end) {
        if !(line.is_empty() && collapsed.ends_with("\n\n")) {
            collapsed.push_str(line);
            collapsed.push('\n');
        }
    }
    collapsed
}
