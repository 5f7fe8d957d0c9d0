"""Anybody's CSV file: names, conditions, bad lines with their number, hints with near names."""

import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.csv_table import parse_columns, read_csv_table
from omnimouse_cli.report.table import number_subsets, parse_condition


@pytest.fixture
def csv_file(tmp_path):
    def write(text):
        path = tmp_path / "runs.csv"
        path.write_text(text)
        return path

    return write


def test_columns_are_found_by_their_own_names(csv_file):
    path = csv_file("loss,tokens,parameters,seed,run,split,compute\n.5,1e9,1e6,3,a,test,6e15\n")
    (row,) = read_csv_table(path).rows
    assert (row.loss, row.tokens, row.parameters, row.compute) == (0.5, 1e9, 1e6, 6e15)
    assert (row.seed, row.run, row.split, row.source) == (3, "a", "test", f"{path}:2")


def test_a_column_names_the_subset_of_the_data(csv_file):
    path = csv_file("loss,tokens,parameters,fold\n.5,1e9,1e6,a\n.5,1e9,1e6,b\n.4,2e9,1e6,a\n")
    rows = read_csv_table(path, columns=parse_columns("subset=fold")).rows
    assert [row.subset for row in rows] == ["a", "b", "a"]
    # The same name at another amount of data is another subset.
    assert number_subsets(rows).tolist() == [0, 1, 2]
    assert number_subsets(read_csv_table(path).rows) is None


def test_epochs_are_tokens_seen_over_tokens(csv_file):
    path = csv_file("loss,tokens,parameters,tokens_seen,epochs\n.5,100,7,250,.2\n.5,100,7,,3\n")
    assert [row.epochs for row in read_csv_table(path).rows] == [2.5, 3.0]


def test_other_names_are_mapped_and_rows_selected(openlm):
    table = read_csv_table(
        openlm,
        columns=parse_columns("parameters=params_no_embed,tokens=tokens,loss=loss_c4_val"),
        where=[parse_condition("train_set==c4_original")],
    )
    assert len(table.rows) == 34
    assert table.excluded == ()
    assert table.rows[0].parameters == 359973888
    assert table.rows[0].loss == pytest.approx(3.5279492850157737)
    rest = read_csv_table(
        openlm,
        columns={"parameters": "params_no_embed", "loss": "loss_c4_val"},
        where=[parse_condition("train_set!=c4_original")],
    )
    assert len(rest.rows) == 70


def test_a_number_in_place_of_a_column_holds_for_every_row(translation):
    table = read_csv_table(
        translation,
        columns=parse_columns("parameters=3e8,tokens=seen_examples"),
        where=[parse_condition("model==DecOnly"), parse_condition("training==1")],
    )
    assert {row.parameters for row in table.rows} == {3e8}
    assert len(table.rows) == 10


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1e6,1e9,nan", "line 3: `loss` must be a finite number above zero: nan"),
        ("1e6,1e9,inf", "line 3: `loss` must be a finite number above zero: inf"),
        ("1e6,1e9,-0.1", "line 3: `loss` must be a finite number above zero: -0.1"),
        ("0,1e9,0.5", "line 3: `parameters` must be a finite number above zero: 0"),
        ("1e6,many,0.5", "line 3: `tokens` must be a number: 'many'"),
        ("1e6,1e9,", "line 3: `loss` is empty"),
        ("1e6,1e9", "line 3: 2 cells where the first line has 3"),
    ],
)
def test_a_bad_line_is_left_out_with_its_number_and_reason(csv_file, line, reason):
    table = read_csv_table(csv_file(f"parameters,tokens,loss\n1e6,1e9,.5\n{line}\n1e7,1e9,.4\n"))
    assert len(table.rows) == 2
    assert [one.reason for one in table.excluded] == [reason]


def test_correlations_become_losses_and_the_report_says_so(csv_file):
    table = read_csv_table(csv_file("parameters,tokens,correlation\n1e6,1e9,.25\n1e7,1e9,1.5\n"))
    assert [row.loss for row in table.rows] == [0.75]
    assert "1 - `correlation` was fitted" in table.notes[0]
    assert "between -1 and 1: 1.5" in table.excluded[0].reason


@pytest.mark.parametrize(
    ("text", "columns", "where", "message", "hint"),
    [
        ("", {}, [], "has no rows", None),
        ("parameters,tokens,loss\n", {}, [], "has no rows", None),
        ("params,tokens,loss\n1,1,1\n", {}, [], "no column 'parameters'", "--columns parameters="),
        (
            "parameters,tokens,loss\n1,1,1\n",
            {"loss": "los"},
            [],
            "--columns names the column 'los'",
            "did you mean `loss`?",
        ),
        (
            "parameters,tokens,loss,split\n1,1,1,test\n",
            {},
            ["splt==test"],
            "--where names the column 'splt'",
            "did you mean `split`?",
        ),
        (
            "parameters,tokens,loss,split\n1,1,1,test\n",
            {},
            ["split==train"],
            "has no row that --where selects",
            None,
        ),
        ("parameters,tokens,loss\n1,1,nan\n", {}, [], "line 2: `loss` must be", None),
        ("loss,loss\n1,1\n", {}, [], "more than one column named 'loss'", None),
    ],
)
def test_a_file_that_cannot_be_used_says_why(csv_file, text, columns, where, message, hint):  # noqa: PLR0917 - pytest passes them by name
    conditions = [parse_condition(one) for one in where]
    with pytest.raises(OmniMouseError) as caught:
        read_csv_table(csv_file(text), columns=columns, where=conditions)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_missing_or_binary_file_says_why(tmp_path):
    with pytest.raises(OmniMouseError, match="not a file that can be read"):
        read_csv_table(tmp_path / "none.csv")
    for content in (b"\x80\x81,\x00", b"\xff\xfe\x00\x81\x00"):
        (tmp_path / "binary.csv").write_bytes(content)
        with pytest.raises(OmniMouseError, match="not a CSV file in UTF-8 or UTF-16"):
            read_csv_table(tmp_path / "binary.csv")


PLAIN = "parameters,tokens,loss\n1000000,250000000,2.25\n64000000,1000000,1.5\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN.encode("utf-8-sig"), ""),
        (PLAIN.encode("utf-16"), ""),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), ""),
        (PLAIN.replace("\n", "\r\n").encode() + b"\r\n\r\n", ""),
        (PLAIN.replace("\n", ",,\n").encode(), ""),
        (PLAIN.replace(",", "\t").encode(), ""),
        (PLAIN.replace(",", ";").encode(), ""),
        (PLAIN.replace(",", ";").replace(".", ",").encode(), "decimal signs"),
        (PLAIN.replace(",", " ; ").encode(), ""),
        (b"# made on a Monday; no comma\n" + PLAIN.encode() + b"# the end\n", ""),
        (b"# made on a Monday\n# " + PLAIN.encode(), ""),
        (b'parameters,tokens,loss\n"1,000,000","250,000,000",2.25\n"64,000,000",1e6,1.5\n', ""),
        (b"parameters;tokens;loss\n1.000.000;250.000.000;2,25\n64.000.000;1e6;1,5\n", "decimal"),
        (b"parameters;tokens;loss\n1,000,000;250,000,000;2.25\n64,000,000;1e6;1.5\n", ""),
        (b"parameters,tokens,loss\n1 000 000,250 000 000,2.25\n6.4e7,1e6,1.5\n", ""),
        ("parameters,tokens,loss\n1e6,250\u00a0000\u202f000,2.25\n6.4e7,1e6,1.5".encode(), ""),
        (b"parameters,tokens,loss\n1'000'000,250'000'000,2.25\n6.4e7,1e6,1.5\n", ""),
        (b"parameters,tokens,loss\n1M,.25B,2.25\n64M,1000k,1.5\n", "1e3 to 1e12"),
        (b"parameters,tokens,loss\n1 M,250 M,2.25\n0.064G,0.000001T,1.5\n", "1e3 to 1e12"),
    ],
)
def test_tables_of_other_tools_are_read_alike(tmp_path, content, note):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    table = read_csv_table(path)
    numbers = [number for row in table.rows for number in (row.parameters, row.tokens, row.loss)]
    assert numbers == pytest.approx([1e6, 2.5e8, 2.25, 6.4e7, 1e6, 1.5])
    assert table.excluded == ()
    assert note in " ".join(table.notes)
    assert bool(table.notes) == bool(note)


@pytest.mark.parametrize("cell", ["1,5", "12,34", "1,0000", "M", "1 2", "1.2.3", "0x10", "1e"])
def test_what_is_no_number_of_any_country_is_left_out(csv_file, cell):
    table = read_csv_table(csv_file(f'parameters,tokens,loss\n1e6,1e9,.5\n"{cell}",1e9,.5\n'))
    assert [row.reason for row in table.excluded] == [
        f"line 3: `parameters` must be a number: {cell!r}"
    ]


@pytest.mark.parametrize("text", ["split=test", "split", "==test", ""])
def test_a_condition_has_two_equal_signs(text):
    with pytest.raises(OmniMouseError, match="--where takes column==value"):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "message"), [("loss", "name=column pairs"), ("los=x", "has no name 'los'")]
)
def test_columns_are_pairs_of_known_names(text, message):
    with pytest.raises(OmniMouseError, match=message):
        parse_columns(text)


def test_numbers_compare_as_numbers_and_quotes_are_dropped():
    assert parse_condition("tokens==1e9").holds({"tokens": "1000000000"})
    assert parse_condition("split=='test a'").holds({"split": "test a"})
    assert not parse_condition("split!=test").holds({"split": "test"})
