"""What pyproject.toml can't say: the wheel has conf/ data/mnist/ and a file of results/ within the package."""

from setuptools import find_packages, setup

WITHIN = {"apot_lit.conf": "conf", "apot_lit.digits": "data/mnist", "apot_lit.results": "results"}

setup(packages=[*find_packages(include=["apot_lit", "apot_lit.*"]), *WITHIN], package_dir=WITHIN)
