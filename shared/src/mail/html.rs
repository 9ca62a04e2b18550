//! What a reader sees of a part in HTML: its visible text, and where its links lead.

use std::convert::Infallible;

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

/// A part in HTML, read.
pub struct Page {
    /// The text that shows, with an empty line between blocks.
    pub text: String,
    /// The addresses of its links, visible or not, with entities decoded.
    pub links: Vec<String>,
}

/// More open elements than any mail has. What stands deeper does not show.
const MAX_DEPTH: usize = 128;
/// So many are open only if they are never closed. The count is lost, and nothing shows from there on.
const MAX_OPEN: usize = 192;

/// Elements without an end tag.
const VOID: [&[u8]; 13] = [
    b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta",
    b"source", b"track", b"wbr",
];

/// Elements whose content is no text of the mail.
const SILENT: [&[u8]; 14] = [
    b"head",
    b"title",
    b"style",
    b"script",
    b"template",
    b"noscript",
    b"iframe",
    b"object",
    b"svg",
    b"math",
    b"select",
    b"textarea",
    b"noembed",
    b"noframes",
];

/// Elements that stand in a line; all others begin a line of their own.
const INLINE: [&[u8]; 29] = [
    b"a", b"abbr", b"acronym", b"b", b"bdi", b"bdo", b"big", b"cite", b"code", b"del", b"dfn",
    b"em", b"font", b"i", b"img", b"ins", b"kbd", b"label", b"mark", b"q", b"s", b"small", b"span",
    b"strike", b"strong", b"sub", b"sup", b"tt", b"u",
];

/// Ways to hide text in a `style`, without spaces and in lower case. Style sheets are not read: they hide by the width
/// of the screen, and a code that is hidden from some readers only is still a code.
const HIDING: [&str; 14] = [
    "display:none",
    "visibility:hidden",
    "visibility:collapse",
    "mso-hide:all",
    "font-size:0",
    "font-size:1px",
    "line-height:0",
    "max-height:0",
    "max-width:0",
    "opacity:0",
    "color:transparent",
    "text-indent:-",
    "content-visibility:hidden",
    "clip:rect(0",
];

/// Attributes that say where a link leads or that something does not show.
const READ: [&[u8]; 5] = [b"href", b"style", b"hidden", b"aria-hidden", b"size"];

/// Reads `html`. Any text is HTML.
pub fn read(html: &str) -> Page {
    let mut reader = Reader {
        page: Page { text: String::new(), links: Vec::new() },
        open: Vec::new(),
        tag: Tag { name: Vec::new(), attributes: Vec::new(), is_read: false },
        is_lost: false,
    };
    let callback = |event: CallbackEvent<'_>, _: Span<()>| -> Option<Infallible> {
        reader.see(&event);
        None
    };
    // The reader sees each piece where it stands, without a copy.
    let Ok(()) = Tokenizer::new_with_emitter(html, CallbackEmitter::new(callback)).finish();
    reader.page
}

struct Reader {
    page: Page,
    open: Vec<Open>,
    tag: Tag,
    /// More elements are open than are counted.
    is_lost: bool,
}

/// A start tag, as far as it was read.
struct Tag {
    name: Vec<u8>,
    /// Those of [`READ`], each as it first stands.
    attributes: Vec<(&'static [u8], Vec<u8>)>,
    /// What comes next is the value of the last attribute.
    is_read: bool,
}

/// An element whose end tag was not seen yet.
struct Open {
    name: Vec<u8>,
    /// The first bytes of its name, so that an end tag that fits nothing is soon done with.
    key: u64,
    /// It stands in a line.
    is_inline: bool,
    /// It, or one that it stands in, does not show.
    is_hidden: bool,
}

impl Tag {
    fn open(&mut self, name: &[u8]) {
        self.name.clear();
        self.name.extend_from_slice(name);
        self.attributes.clear();
    }

    /// As in a browser, the first of a name counts.
    fn attribute(&mut self, name: &[u8]) {
        let read = READ.into_iter().find(|read| *read == name && self.value(read).is_none());
        self.is_read = read.is_some();
        self.attributes.extend(read.map(|read| (read, Vec::new())));
    }

    fn push(&mut self, value: &[u8]) {
        if self.is_read
            && let Some((_, read)) = self.attributes.last_mut()
        {
            read.extend_from_slice(value);
        }
    }

    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.attributes.iter().find(|(read, _)| *read == name)?;
        Some(value)
    }
}

impl Reader {
    fn see(&mut self, event: &CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => self.tag.open(name),
            CallbackEvent::AttributeName { name } => self.tag.attribute(name),
            CallbackEvent::AttributeValue { value } => self.tag.push(value),
            CallbackEvent::CloseStartTag { .. } => self.start(),
            CallbackEvent::EndTag { name } => self.end(name),
            CallbackEvent::String { value } => self.text(&String::from_utf8_lossy(value)),
            CallbackEvent::Comment { .. }
            | CallbackEvent::Doctype { .. }
            | CallbackEvent::Error(_) => {}
        }
    }

    /// The start tag was read.
    fn start(&mut self) {
        let name = self.tag.name.as_slice();
        if (name == b"a" || name == b"area")
            && let Some(link) = self.tag.value(b"href")
        {
            self.page.links.push(String::from_utf8_lossy(link).trim().to_owned());
        }
        if self.is_lost {
            return;
        }
        let is_inline = is_one_of(name, &INLINE);
        let is_void = is_one_of(name, &VOID);
        if name == b"br" {
            self.page.text.push('\n');
        } else if !is_inline {
            self.block();
        }
        if is_void {
            return;
        }
        if self.open.len() >= MAX_OPEN {
            self.is_lost = true;
            return;
        }
        let is_hidden = self.is_hidden() || self.open.len() >= MAX_DEPTH || hides(&self.tag);
        let name = self.tag.name.clone();
        self.open.push(Open { key: key(&name), name, is_inline, is_hidden });
    }

    /// Closes the innermost element of this name, and what was left open in it. As in a browser, the end of an element
    /// that stands in a line closes nothing beyond the block it stands in.
    fn end(&mut self, name: &[u8]) {
        if self.is_lost {
            return;
        }
        let is_inline = is_one_of(name, &INLINE);
        if !is_inline {
            self.block();
        }
        let key = key(name);
        let is_it = |open: &Open| open.key == key && open.name == name;
        let mut inside = self.open.iter().rev();
        let position = inside.position(|open| is_it(open) || (is_inline && !open.is_inline));
        let Some(index) = position.and_then(|position| self.open.len().checked_sub(position + 1))
        else {
            return;
        };
        if self.open.get(index).is_some_and(is_it) {
            self.open.truncate(index);
        }
    }

    fn text(&mut self, text: &str) {
        if !self.is_hidden() {
            self.page.text.extend(text.chars().map(|c| if "\r\n".contains(c) { ' ' } else { c }));
        }
    }

    fn block(&mut self) {
        if !self.page.text.is_empty() && !self.page.text.ends_with("\n\n") {
            self.page.text.push_str("\n\n");
        }
    }

    fn is_hidden(&self) -> bool {
        self.is_lost || self.open.last().is_some_and(|open| open.is_hidden)
    }
}

fn is_one_of(name: &[u8], names: &[&[u8]]) -> bool {
    names.contains(&name)
}

/// The first bytes of a name.
fn key(name: &[u8]) -> u64 {
    name.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

fn hides(tag: &Tag) -> bool {
    is_one_of(&tag.name, &SILENT)
        || tag.value(b"style").is_some_and(|style| hides_by_style(&String::from_utf8_lossy(style)))
        || tag.value(b"hidden").is_some()
        || tag.value(b"aria-hidden") == Some(b"true")
        || (tag.name == b"font" && tag.value(b"size") == Some(b"0"))
}

fn hides_by_style(style: &str) -> bool {
    let style = without_comments(&style.to_lowercase());
    let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
    // `opacity:0.9` and `max-width:0` differ by what follows.
    style.split(';').any(|rule| {
        let rule = rule.trim_end_matches("!important");
        HIDING.iter().any(|hiding| rule == *hiding || is_nothing(rule, hiding))
    })
}

/// Whether `rule` is `hiding` with a unit, or goes on as only a hiding one does.
fn is_nothing(rule: &str, hiding: &str) -> bool {
    let Some(rest) = rule.strip_prefix(hiding) else { return false };
    if hiding.ends_with(['-', '(']) || hiding.ends_with("rect(0") {
        return true;
    }
    let rest = rest.trim_start_matches(['.', '0']);
    hiding.ends_with('0') && ["", "px", "pt", "em", "rem", "%", "vh", "vw"].contains(&rest)
}

/// `display:/**/none` is `display:none`.
fn without_comments(style: &str) -> String {
    let mut kept = String::with_capacity(style.len());
    let mut rest = style;
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        read(html).text.trim().to_owned()
    }

    #[test]
    fn blocks_are_lines_and_entities_are_characters() {
        let html = "<html><head><title>t</title><style>p{}</style></head><body><p>Your code&nbsp;is\r\n<b>12</b>3456</p>\
                    <table><tr><td>a</td><td>b&amp;c</td></tr></table>x<br>y</body></html>";
        assert_eq!(text(html), "Your code\u{a0}is 123456\n\na\n\nb&c\n\nx\ny");
    }

    #[test]
    fn hidden_text_does_not_show() {
        for hidden in [
            "<div style='display:none'>X</div>",
            "<DIV STYLE='Display : None !important'>X</DIV>",
            "<span style='color:red; font-size:0px'>X</span>",
            "<span style='font-size:0.0em'>X</span>",
            "<p style='opacity:0'>X</p>",
            "<p style='display:/* */none'>X</p>",
            "<p style='max-height:0;overflow:hidden'>X</p>",
            "<p style='text-indent:-9999px'>X</p>",
            "<p hidden>X</p>",
            "<font size=0>X</font>",
            "<div style=display:none><b><p>X</b></p></div>",
            "<span style='display:none'><div></span>X</div></span>",
            "<div style=display:none>X",
            "<!-- X -->",
            "<!--> <script>X</script>",
            "<title>X",
            "<style>X</style>",
            "<template>X</template>",
            "<textarea>X</textarea>",
        ] {
            assert!(!read(hidden).text.contains('X'), "{hidden}");
        }
    }

    #[test]
    fn visible_text_shows() {
        for visible in [
            "<div style='display:none'>a</div>X",
            "<p style='opacity:0.9'>X</p>",
            "<p style='font-size:0.9em;line-height:1'>X</p>",
            "<p style='max-width:600px'>X</p>",
            "<div style='display:none'>a<img>b<br></div></p></p>X",
            "<b>X",
            "</b>X",
            "<p><b>a</p>X</b>",
        ] {
            assert!(read(visible).text.contains('X'), "{visible}");
        }
    }

    #[test]
    fn links_are_decoded() {
        let page = read("<a href=' https://a.example/?a=1&amp;b=2 '>x</a><AREA HREF=/y><a name=z>");
        assert_eq!(page.links, ["https://a.example/?a=1&b=2", "/y"]);
    }

    #[test]
    fn what_stands_too_deep_does_not_show_and_takes_no_time() {
        let deep = format!("{}X{}", "<div>".repeat(200_000), "</div>".repeat(200_000));
        assert_eq!(text(&deep), "");
        let deep = format!("{}X", "<b></i>".repeat(100_000));
        assert_eq!(text(&deep), "");
        let deep = format!("<p>a</p>{}</section>X", "<section>".repeat(191));
        assert_eq!(text(&deep), "a");
    }

    #[test]
    fn what_is_hidden_stays_so_where_too_much_is_open() {
        let (divs, ends) = ("<div>".repeat(300), "</div>".repeat(299));
        let hidden = format!("<div style='display:none'>{divs}{ends}X");
        assert_eq!(text(&hidden), "");
    }
}
