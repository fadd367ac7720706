"""Files of annotation tools: one scene in four formats, and what may be wrong with them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import re

import numpy as np
import pytest
from PIL import Image

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomFlip
from sklearn_convnet.datasets import load_annotations, make_digit_scenes
from sklearn_convnet.preprocessing import ImageFiles

WIDTH, HEIGHT = 40, 20
#: Image, class and box in pixels, corners at the borders of pixels.
OBJECTS = [
    ("a.png", "frog", (10, 5, 20, 10)),
    ("a.png", "duck", (0, 15, 4, 20)),
    ("b.png", "frog", (0, 0, 40, 20)),
]
SHARES = [[0.25, 0.25, 0.5, 0.5], [0, 0.75, 0.1, 1], [0, 0, 1, 1]]
FILES = ["a.png", "b.png", "empty.png"]


def coco(folder, **changes):
    ids = {"frog": 7, "duck": 3, "cow": 1}
    annotations = [
        dict(image_id=10 + FILES.index(file), category_id=ids[name],
             bbox=[x1, y1, x2 - x1, y2 - y1], iscrowd=0)
        for file, name, (x1, y1, x2, y2) in OBJECTS
    ]  # fmt: skip
    crowd = dict(image_id=10, category_id=7, bbox=[0, 0, 9, 9], iscrowd=1)
    contents = dict(
        images=[
            dict(id=10 + i, file_name=file, width=WIDTH, height=HEIGHT)
            for i, file in enumerate(FILES)
        ],
        annotations=[annotations[2], crowd, *annotations[:2]],
        categories=[dict(id=number, name=name) for name, number in ids.items()],
    )
    path = folder / "instances.json"
    path.write_text(json.dumps({**contents, **changes}))
    return path


def voc(folder, size=f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"):
    path = folder / "Annotations"
    path.mkdir(exist_ok=True)
    for file in FILES:
        objects = [
            f"<object><name> {name}\n</name><difficult>1</difficult><bndbox><xmin>{x1 + 1}</xmin>"
            f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for image, name, (x1, y1, x2, y2) in OBJECTS
            if image == file
        ]
        text = f"<annotation><filename>{file}</filename>{size}{''.join(objects)}</annotation>"
        (path / file).with_suffix(".xml").write_text(text)
    return path


def yolo(folder, names=("duck", "frog")):
    path = folder / "labels" / "train"
    images = folder / "images" / "train"
    for one in (path, images):
        one.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (images / file).touch()
    for file in FILES[:2]:
        lines = [
            f"{['duck', 'frog'].index(name)} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} "
            f"{(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}\n"
            for image, name, (x1, y1, x2, y2) in OBJECTS
            if image == file
        ]
        (path / file).with_suffix(".txt").write_text("\n".join(lines))
    if names:
        (path / "classes.txt").write_text("\n".join(names))
    return path


def table(folder, header="filename,width,height,class,xmin,ymin,xmax,ymax", bom=""):
    lines = [
        f"{file},{WIDTH},{HEIGHT},{name},{','.join(map(str, box))}" for file, name, box in OBJECTS
    ]
    path = folder / "boxes.csv"
    path.write_text("\n".join([bom + header, *lines]), encoding="utf-8")
    return path


WRITERS = {"coco": coco, "voc": voc, "yolo": yolo, "csv": table}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_scene_in_each_format(tmp_path, kind):
    found = load_annotations(WRITERS[kind](tmp_path), kind)
    names = ["cow", "duck", "frog"] if kind == "coco" else ["duck", "frog"]
    assert found.target_names == names
    np.testing.assert_allclose(found.boxes, SHARES, atol=1e-12)
    images = tmp_path / "images" / "train"
    expected = [str(images / file) if kind == "yolo" else file for file, _, _ in OBJECTS]
    assert found.filenames.tolist() == expected
    assert [names[i] for i in found.target] == [name for _, name, _ in OBJECTS]
    all_images = FILES[:2] if kind == "csv" else FILES
    assert [name.split("/")[-1] for name in found.image_names] == all_images
    assert found.points is None
    assert found.point_names == []


@pytest.mark.parametrize("kind", WRITERS)
def test_what_other_systems_add(tmp_path, kind):
    """Windows begins files with a mark, macOS puts hidden ones beside them."""
    path = WRITERS[kind](tmp_path)
    expected = load_annotations(path, kind).boxes
    for file in [path] if path.is_file() else list(path.iterdir()):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        (file.parent / f"._{file.name}").write_bytes(b"\0\5\x16\7")
    np.testing.assert_array_equal(load_annotations(path, kind).boxes, expected)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_in_place_of_a_folder(tmp_path, kind):
    path = WRITERS[kind](tmp_path)
    other = path.parent if path.is_file() else next(path.iterdir())
    with pytest.raises(OSError, match=re.escape(str(other))):
        load_annotations(other, kind)


@pytest.mark.parametrize("kind", WRITERS)
def test_names_with_spaces_and_other_letters(tmp_path, kind):
    folder = tmp_path / "größe 小 (2)"
    folder.mkdir()
    path = WRITERS[kind](folder)
    if kind == "yolo":
        (path / "classes.txt").write_text("weiße Ente\n青蛙\n", encoding="utf-8")
        for place, ending in ((path, ".txt"), (path.parents[1] / "images" / "train", ".png")):
            (place / "a").with_suffix(ending).rename(place / f"ä 1{ending}")
    else:
        for file in [path] if path.is_file() else path.iterdir():
            text = file.read_text(encoding="utf-8").replace("a.png", "ä 1.png")
            text = text.replace("duck", "weiße Ente").replace("frog", "青蛙")
            file.write_text(text, encoding="utf-8")
    found = load_annotations(path, kind)
    assert {name.split("/")[-1] for name in found.filenames} == {"ä 1.png", "b.png"}
    assert sorted(found.target_names[i] for i in found.target) == ["weiße Ente", "青蛙", "青蛙"]


@pytest.mark.parametrize("kind", WRITERS)
def test_options(tmp_path, kind):
    path = WRITERS[kind](tmp_path)
    if kind == "yolo":
        (tmp_path / "images" / "train").rename(tmp_path / "photos")
    found = load_annotations(
        path, kind, images=tmp_path / "photos", objects="largest", target_names=["frog", "cow"]
    )
    assert found.filenames.tolist() == [str(tmp_path / "photos" / name) for name in FILES[:2]]
    assert found.target.tolist() == [0, 0]
    assert found.target_names == ["frog", "cow"]
    np.testing.assert_allclose(found.boxes, [SHARES[0], SHARES[2]], atol=1e-12)
    with pytest.raises(ValueError, match=r"no object of the classes \['cat'\] there, but of \['d"):
        load_annotations(path, kind, target_names=["cat"], images=tmp_path / "photos")
    with pytest.raises(ValueError, match="target_names must be names, each of them once"):
        load_annotations(path, kind, target_names=["a", "a"], images=tmp_path / "photos")
    with pytest.raises(ValueError, match="'objects' parameter"):
        load_annotations(path, kind, objects="first")
    if kind != "coco":
        with pytest.raises(ValueError, match=f"masks=True is for files of COCO.*format='{kind}'"):
            load_annotations(path, kind, masks=True)


def test_the_largest_is_by_area_not_by_place(tmp_path):
    path = tmp_path / "boxes.csv"
    lines = ["a,x,0,0,.2,.5", "a,y,0,0,.4,.3", "a,z,.6,.8,1,1"]
    path.write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax", *lines]))
    found = load_annotations(path, "csv", objects="largest")
    assert [found.target_names[i] for i in found.target] == ["y"]


def test_yolo_without_names(tmp_path):
    found = load_annotations(yolo(tmp_path, names=None), "yolo")
    assert found.target_names == ["0", "1"]
    assert found.target.tolist() == [1, 0, 1]


def test_yolo_beside_the_images(tmp_path):
    (tmp_path / "a.jpeg").touch()
    (tmp_path / "a.txt").write_text("12 .5 .5 1 1\n2 .5 .5 .5 .5\n")
    (tmp_path / "data.yaml").touch()
    found = load_annotations(tmp_path, "yolo")
    assert found.filenames.tolist() == [str(tmp_path / "a.jpeg")] * 2
    assert found.target_names == ["2", "12"]
    assert found.image_names.tolist() == [str(tmp_path / "a.jpeg")]


def test_csv_in_shares_and_as_excel_saves_it(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_bytes(
        '\ufefffilename,class,xmin,ymin,xmax,ymax\r\n"a,b.png",x,0,.5,1,1\r\n'.encode()
    )
    found = load_annotations(path, "csv")
    assert found.filenames.tolist() == ["a,b.png"]
    np.testing.assert_array_equal(found.boxes, [[0, 0.5, 1, 1]])


def test_what_is_beyond_the_image_is_cut_off(tmp_path):
    annotation = dict(image_id=10, category_id=7, bbox=[-4, 10, 100, 100])
    found = load_annotations(coco(tmp_path, annotations=[annotation]), "coco")
    np.testing.assert_array_equal(found.boxes, [[0, 0.5, 1, 1]])


def test_points_of_coco(tmp_path):
    names = ["nose", "tail"]
    categories = [dict(id=1, name="cat", keypoints=names), dict(id=2, name="cup")]
    annotations = [
        dict(image_id=10, category_id=1, bbox=[0, 0, 4, 4], keypoints=[0, 0, 2, 39, 19, 1]),
        dict(image_id=11, category_id=2, bbox=[0, 0, 4, 4]),
        dict(image_id=11, category_id=1, bbox=[0, 0, 4, 4], keypoints=[0, 0, 0, 4, 2, 2]),
    ]
    changes = dict(categories=categories, annotations=annotations)
    found = load_annotations(coco(tmp_path, **changes), "coco")
    nan = np.nan
    first, last = 0.5 / WIDTH, 0.5 / HEIGHT  # the middles of pixels in the corners
    expected = [[first, last, 1 - first, 1 - last], [nan] * 4, [nan, nan, 4.5 / 40, 2.5 / 20]]
    np.testing.assert_allclose(found.points, expected)
    assert found.point_names == names
    for wrong in ([1, 2, 2], 7):
        annotations[0]["keypoints"] = wrong
        with pytest.raises(ValueError, match=r"annotation 0: 'keypoints' must hold .* of 2 points"):
            load_annotations(coco(tmp_path, **changes), "coco")
    categories[1]["keypoints"] = "handle"
    with pytest.raises(ValueError, match="'keypoints' of a category must be a list of names"):
        load_annotations(coco(tmp_path, **changes), "coco")
    categories[1]["keypoints"] = ["handle"]
    with pytest.raises(ValueError, match="categories differ in their 'keypoints'"):
        load_annotations(coco(tmp_path, **changes), "coco")


ANNOTATION = dict(image_id=10, category_id=7, bbox=[0, 0, 1, 1])
IMAGE = dict(id=10, file_name="a", width=4, height=4)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (dict(annotations=[{**ANNOTATION, "image_id": 5}]), "annotation 0: 'image_id' is 5"),
        (dict(annotations=[{**ANNOTATION, "category_id": 5}]), "'category_id' is 5, which"),
        (dict(annotations=[ANNOTATION, dict(image_id=10)]), "1: 'category_id' is missing"),
        (dict(annotations=[dict(image_id=10, category_id=7)]), "annotation 0: 'bbox' is missing"),
        (dict(annotations=[{**ANNOTATION, "bbox": [1, 2, 3]}]), "'bbox' must be x, y"),
        (dict(annotations=[{**ANNOTATION, "bbox": [1, 2, None, 1]}]), "width must be a number"),
        (dict(annotations=[{**ANNOTATION, "bbox": [10**400, 2, 1, 1]}]), "x must be a number"),
        (dict(annotations=[{**ANNOTATION, "bbox": [1, 2, -1, 1]}]), "has a negative size"),
        (dict(annotations=[ANNOTATION], images=[{**IMAGE, "width": 0}]), "a width and a height"),
        (dict(images=[dict(id=10)], annotations=[]), "'file_name' is missing"),
        (dict(images=[{**IMAGE, "file_name": None}]), "'id' 10: 'file_name' is missing"),
        (dict(images=[{**IMAGE, "id": [1]}]), r"images\[0\]: 'id' must be a number, got \[1\]"),
        (dict(images=[IMAGE, IMAGE]), r"images\[1\]: 'id' is 10, which is that of another one"),
        (dict(categories=[dict(id="a", name="a")]), "'id' must be a number, got 'a'"),
        (dict(categories=[dict(id=1, name="")]), "'id' 1: 'name' is missing"),
        (dict(annotations=[{**ANNOTATION, "image_id": [10]}]), r"'image_id' is \[10\], which"),
        (dict(images=5), "'images' must be a list of mappings"),
        (dict(annotations=[3]), "'annotations' must be a list of mappings"),
        (dict(annotations=[]), r"instances\.json: no object there$"),
    ],
)  # fmt: skip
def test_bad_coco(tmp_path, changes, match):
    with pytest.raises(ValueError, match=match) as caught:
        load_annotations(coco(tmp_path, **changes), "coco")
    assert str(caught.value).startswith(str(tmp_path / "instances.json"))


def test_bad_files(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"x\.json: no JSON file"):
        load_annotations(path, "coco")
    with pytest.raises(FileNotFoundError):
        load_annotations(tmp_path / "none.json", "coco")
    for kind in ("voc", "yolo"):
        with pytest.raises(FileNotFoundError, match="none: no such folder"):
            load_annotations(tmp_path / "none", kind)
        with pytest.raises(FileNotFoundError, match=r"no \.(xml|txt) files there"):
            load_annotations(tmp_path, kind)
    folder = voc(tmp_path)
    (folder / "b.xml").write_text("<annotation>")
    with pytest.raises(ValueError, match=r"b\.xml: no XML file"):
        load_annotations(folder, "voc")
    with pytest.raises(ValueError, match=r"a\.xml: 'size/width' is missing"):
        load_annotations(voc(tmp_path, size=""), "voc")
    (folder / "a.xml").write_text("")
    with pytest.raises(ValueError, match=r"a\.xml: no XML file: no element found"):
        load_annotations(folder, "voc")
    (folder / "a.xml").write_text("<annotation><filename/></annotation>")
    with pytest.raises(ValueError, match=r"a\.xml: 'filename' is missing"):
        load_annotations(folder, "voc")
    with pytest.raises(ValueError, match="'format' parameter"):
        load_annotations(folder, "pascal")


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("0 .5 .5 1", r"a\.txt: line 2: must be the number of a class.*got 4 numbers"),
        ("0 .5 .5 1 1 .3 .4", "outlines and key points are not read"),
        ("cat .5 .5 1 1", "the class must be a number, counted from 0, got 'cat'"),
        ("2 .5 .5 1 1", r"the class is 2, but classes\.txt has 2 names"),
        ("1 .5 .5 -1 1", "negative size"),
        ("1 .5 nan 1 1", "y must be a number, got 'nan'"),
        ("1 12 8 20 10", r"the middle of the box, \(12.0, 8.0\), is not in shares .* in pixels"),
    ],
)
def test_bad_yolo(tmp_path, line, match):
    path = yolo(tmp_path)
    (path / "a.txt").write_text(f"0 .5 .5 .1 .1\n{line}\n")
    with pytest.raises(ValueError, match=match):
        load_annotations(path, "yolo")
    (path / "a.txt").write_bytes(b"0 .5 .5 .1 .1\n\xff\xfe")
    with pytest.raises(ValueError, match=r"a\.txt: 'utf-8' codec can't decode"):
        load_annotations(path, "yolo")


def test_yolo_names_with_a_gap(tmp_path):
    path = yolo(tmp_path, names=("duck", "frog", "", ""))
    assert load_annotations(path, "yolo").target_names == ["duck", "frog"]
    with pytest.raises(ValueError, match=r"classes\.txt: line 2 is empty, but each line names a"):
        load_annotations(yolo(tmp_path, names=("duck", "", "frog")), "yolo")


def test_yolo_without_an_image(tmp_path):
    path = yolo(tmp_path)
    (path / "c.txt").write_text("0 .5 .5 1 1")
    with pytest.raises(FileNotFoundError, match=r"c\.txt: no image of this name in .*: set images"):
        load_annotations(path, "yolo")
    with pytest.raises(FileNotFoundError, match="no such folder: set images"):
        load_annotations(path, "yolo", images=tmp_path / "none")


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("filename,width,height,class,xmin,ymin,xmax,bottom", "no ymax among .'filename', 'wid"),
        ("filename,width,tall,class,xmin,ymin,xmax,ymax", "no height among"),
        ("filename;width;height;class;xmin;ymin;xmax;ymax", "separated by commas: no filename, c"),
        ("", "the first line must name the columns"),
        ("filename,w,h,class,xmin,ymin,xmax,ymax", "not in shares of the image.*add the columns"),
        ("filename,width,height,xmin,class,ymin,xmax,ymax", "xmin must be a number, got 'frog'"),
    ],
)
def test_bad_csv(tmp_path, header, match):
    with pytest.raises(ValueError, match=match) as caught:
        load_annotations(table(tmp_path, header), "csv")
    assert str(caught.value).startswith(str(tmp_path / "boxes.csv"))


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ("a.png,x,0,0,1,1\n\n,x,0,0,1,1", "line 4: 'filename' is missing"),
        ("a.png,,0,0,1,1", "line 2: 'class' is missing"),
        ("a.png,x,0,0,1", "line 2: ymax must be a number, got None"),
        ('"a\nb.png",x,0,0,1,1\na.png,x,,,,', "line 4: xmin must be a number, got ''"),
        ("a" * 200_000, "line 2: field larger than field limit"),
        ("", "no object there$"),
    ],
)
def test_bad_lines_of_csv(tmp_path, lines, match):
    path = tmp_path / "boxes.csv"
    path.write_text(f"filename, class, xmin, ymin, xmax, ymax\n{lines}\n")
    with pytest.raises(ValueError, match=match) as caught:
        load_annotations(path, "csv")
    assert str(caught.value).startswith(str(path))


def test_boxes_are_where_the_estimators_expect_them(tmp_path):
    """Both estimators take boxes of a file as they are, beside images that are resized."""
    X, digits, outlines = make_digit_scenes(100, random_state=0)[:3]
    lines, expected = ["filename,width,height,class,xmin,ymin,xmax,ymax"], []
    for i, (image, outline) in enumerate(zip(X, outlines, strict=True)):
        corners = outline.reshape(4, 2)
        low, high = corners.min(axis=0) * 32, corners.max(axis=0) * 32
        expected.append([*low / 32, *high / 32])
        grey = (255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{i}.png")
        lines.append(",".join(map(str, [f"{i}.png", 32, 32, digits[i], *low, *high])))
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    found = load_annotations(tmp_path / "boxes.csv", "csv", images=tmp_path)
    np.testing.assert_allclose(found.boxes, np.clip(expected, 0, 1), atol=1e-12)
    files = ImageFiles(found.filenames, 16, mode="L")
    how = dict(augmentation=RandomFlip(), batch_size=30, max_iter=2, random_state=0)
    clf = ConvNetClassifier(**how).fit(files, found.target, boxes=found.boxes)
    assert clf.predict_box(files).shape == (100, 4)
    reg = ConvNetRegressor(target="points", **how).fit(files, found.boxes)
    assert reg.predict(files).shape == (100, 4)
