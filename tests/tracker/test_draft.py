import contextlib
import re
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.mail.draft import (
    MAX_TEXT,
    Addressee,
    Draft,
    DraftError,
    clean_line,
    parse_draft,
    read_address,
    read_url,
)

ANA = Addressee("ana@acme.com")
BOB = Addressee("bob@acme.com")


@pytest.mark.parametrize(
    ("text", "subject", "recipients", "urls"),
    [
        ("ana@acme.com Q3 proposal https://acme.com/deck", "Q3 proposal", [ANA], ["https://acme.com/deck"]),
        ("https://acme.com/deck Q3 ana@acme.com proposal", "Q3 proposal", [ANA], ["https://acme.com/deck"]),
        ("Q3 proposal", "Q3 proposal", [], []),
        ("https://acme.com/deck", "", [], ["https://acme.com/deck"]),
        ("ANA@Acme.COM", "", [ANA], []),
        ("ana@acme.com Re: x", "Re: x", [ANA], []),
        ('ana@acme.com "Q3 proposal"', "Q3 proposal", [ANA], []),
        ("ana@acme.com “Q3 proposal”", "Q3 proposal", [ANA], []),
        ('ana@acme.com the "big" one', 'the "big" one', [ANA], []),
        ("ana@acme.com,bob@acme.com Q3, final", "Q3, final", [ANA, BOB], []),
        ("ana@acme.com, bob@acme.com, Q3", "Q3", [ANA, BOB], []),
        ("ana@acme.com ; bob@acme.com ; Q3", "Q3", [ANA, BOB], []),
        ("to ana@acme.com and bob@acme.com Q3", "Q3", [ANA, BOB], []),
        ("ana@acme.com ana@acme.com Q3", "Q3", [ANA], []),
        ("To: ana@acme.com\nSubject: Q3 proposal", "Q3 proposal", [ANA], []),
        ("ana@acme.com: Q3", "Q3", [ANA], []),
        ("mailto:ana@acme.com?subject=hi Q3", "Q3", [ANA], []),
        ("Ana <ana@acme.com> Q3", "Q3", [Addressee("ana@acme.com", "Ana")], []),
        ("<ana@acme.com>Q3", "Q3", [ANA], []),
        ("Q3 proposal <ana@acme.com>", "Q3 proposal", [ANA], []),
        ('Q3 "Smith, Ana" <ana@acme.com>', "Q3", [Addressee("ana@acme.com", "Smith, Ana")], []),
        (
            "ana@acme.com and Bob van Dam <bob@acme.com> hi",
            "hi",
            [ANA, Addressee("bob@acme.com", "Bob van Dam")],
            [],
        ),
        ("<mailto:ana@acme.com|ana@acme.com> Q3 <https://a.com/|a.com>", "Q3", [ANA], ["https://a.com/"]),
        ("see (https://a.com/x_(y)). Q3", "see Q3", [], ["https://a.com/x_(y)"]),
        ("https://a.com/1,https://b.com/2", "", [], ["https://a.com/1", "https://b.com/2"]),
        ("https://a.com/1 https://a.com/1", "", [], ["https://a.com/1"]),
        ("https://medium.com/@ana/post", "", [], ["https://medium.com/@ana/post"]),
        ("HTTPS://Acme.com/Deck?a=%20&b#c", "", [], ["HTTPS://Acme.com/Deck?a=%20&b#c"]),
        ("<https://a.com/x.>", "", [], ["https://a.com/x."]),
        ("ana@bücher.example Grüße", "Grüße", [Addressee("ana@bücher.example")], []),
        ("https://bücher.example/ü", "", [], ["https://bücher.example/ü"]),
        ("дана@пример.рф Привет", "Привет", [Addressee("дана@пример.рф")], []),
        ("an\u200ba@acme.com Q3\u202e pro\x00posal\x07", "Q3 proposal", [ANA], []),
        ("ana@acme.com Q3\r\nBcc:\tx", "Q3 Bcc: x", [ANA], []),
        ("x<!channel>y < z> </a>&amp; <i>b", "x<!channel>y < z> </a>&amp; <i>b", [], []),
        ("meeting @ 5 <!channel> a@1.5", "meeting @ 5 <!channel> a@1.5", [], []),
    ],
)
def test_a_line_is_read_as_people_mean_it(text, subject, recipients, urls):
    draft = parse_draft(text)
    assert draft.subject == subject
    assert list(draft.recipients) == recipients
    assert list(draft.urls) == urls


def test_a_link_marked_notrack_is_kept_as_it_is_without_the_mark():
    draft = parse_draft("ana@acme.com https://acme.com/terms#notrack https://acme.com/deck")
    assert draft.untracked == ("https://acme.com/terms",)
    assert draft.urls == ("https://acme.com/deck",)


@pytest.mark.parametrize("text", ["", "  ", "\n\t", " , ; ", "\u200b\u202e\x00", '""'])
def test_nothing_at_all_says_what_to_type(text):
    with pytest.raises(DraftError, match=re.escape("track ana@acme.com Q3 proposal https://acme.com/deck")):
        parse_draft(text)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://acme.com/x",
        "javascript:alert(1)",
        "JavaScript://acme.com/%0aalert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://",
        "http://[::1",
        "http://acme.com:99999/",
        "https://good.example\\@evil.example/",
        "smb://x",
    ],
)
def test_only_http_and_https_links_are_taken_and_the_others_are_named(url):
    for text in (url, f"ana@acme.com Q3 {url}"):
        with pytest.raises(DraftError) as caught:
            parse_draft(text)
        assert url in str(caught.value)
        assert "https://acme.com/deck" in str(caught.value)


def test_what_looks_like_a_link_or_an_address_but_is_none_is_pointed_out():
    draft = parse_draft("ana@acme Q3 acme.com/deck")
    assert draft.subject == "ana@acme Q3 acme.com/deck"
    assert [warning.split()[0] for warning in draft.warnings] == ["ana@acme", "acme.com/deck"]


def test_limits_say_how_many_are_too_many():
    people = " ".join(f"p{n}@acme.com" for n in range(51))
    with pytest.raises(DraftError, match=r"51 recipients.*50"):
        parse_draft(people)
    with pytest.raises(DraftError, match=r"51 links.*50"):
        parse_draft(" ".join(f"https://acme.com/{n}" for n in range(51)))
    with pytest.raises(DraftError, match="longer than 4000"):
        parse_draft("https://acme.com/" + "x" * 4000)
    draft = parse_draft("ana@acme.com " + "x" * 400)
    assert len(draft.subject) == 255
    assert "255" in draft.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000, "a@" * 100_000, "<" * 200_000, "<a" * 100_000, "a." * 100_000 + "@",
        "x@" + "a-" * 100_000, "(" * 200_000, "https://x.de/" + ")" * 200_000, "https://" * 30_000,
        '"' * 200_000, "www." * 70_000, ("a" * 100 + ".") * 1000 + "/", "https://a " * 30_000,
        '" ' * 100_000 + "<a@b.cc>", "<a@b.cc>" * 30_000, "x" * (MAX_TEXT + 1),
    ],
)  # fmt: skip
def test_a_long_hostile_text_is_read_or_refused_in_no_time(text):
    began = time.perf_counter()
    with contextlib.suppress(DraftError):
        parse_draft(text)
    assert time.perf_counter() - began < 5  # quadratic ones take minutes


PIECES = st.sampled_from(
    [
        "ana@acme.com", "Ana", "<ana@acme.com>", "<", ">", '"', "'", ",", ";", " ", "\n", "https://",
        "http://",
        "https://acme.com/deck", "#notrack", "ftp://x.y", "javascript:", "(", ")", "@", ".", "Re: ",
        "mailto:",
        "\u200d", "\u202e", "\x00", "|", "to", "and", "acme.com/", "www.", "ü", "👩", "\ud800", "%00", "\\",
        "[", "]", "İ", "ﬀ", "\u212a",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(), st.text(st.characters()), st.lists(PIECES | st.text(max_size=3), max_size=25).map("".join)
)


@given(TEXTS)
@example("Ana\u200d<ana@acme.com>")
@example("http://[::1]:0/")
@example("http://\u2100.com")
def test_reading_never_fails_in_another_way_and_never_makes_anything_up(text):
    try:
        draft = parse_draft(text)
    except DraftError:
        return
    line = clean_line(text)
    assert draft != Draft()
    flat = re.sub("[\u200c\u200d]", "", line).lower()
    for one in draft.recipients:
        assert one.address == read_address(one.address)
        assert one.address in flat or one.address in unicodedata.normalize("NFC", flat)
        assert set(one.name.split()) <= set(re.split(r'[\s<>"]+', line)) | set(line.split())
    for url in draft.urls + draft.untracked:
        assert url in line
        assert read_url(url) == url
    for word in draft.subject.split():
        assert word in line
    for stored in (draft.subject, *(one.name for one in draft.recipients), *draft.urls):
        assert not re.search("[\x00-\x1f\x7f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]", stored)


def test_emoji_and_joined_scripts_survive_the_cleaning():
    assert clean_line("team 👩\u200d💻 می\u200cخواهم") == "team 👩\u200d💻 می\u200cخواهم"
    assert clean_line("a\u200db\u200d") == "ab"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ana <ana@acme.com>, Bob", ["Bob"]),
        ("Ana <ana@acme.com>, Bob Smith", ["Bob Smith"]),
        ("ana@acme.com, Bob, eve@acme.com Lunch", ["Bob"]),
        ("ana@acme.com; bob o'neil; Eve <eve@acme.com>; Zoë; dan@acme.com", ["bob o'neil", "Zoë"]),
        # Commas that stand before a subject, or in names.
        ("ana@acme.com, Lunch", []),
        ("ana@acme.com, bob@acme.com, Q3 proposal, https://acme.com/deck", []),
        ("Ana <ana@acme.com>, about our lunch on Friday", []),
        ("Ana <ana@acme.com>, Q3 proposal", []),
        ("Lunch, ana@acme.com, bob@acme.com", []),
        ('bob@acme.com, "Smith, Ana" <ana@acme.com>', []),
        ("Ana, Bob", []),
        ("ana@acme.com,, ;bob@acme.com,", []),
    ],
)
def test_a_name_without_address_in_a_list_of_recipients_is_told(text, names):
    told = [one.partition(" has no mail address")[0] for one in parse_draft(text).warnings]
    assert told == names
